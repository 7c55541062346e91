//! The ids of an area's items in order, for `key(n)` with any n.

/// Ids in a block. Removing from the middle moves at most these, and finding the n-th walks over blocks.
const BLOCK: usize = 512;

/// Ascending ids in blocks: the n-th is found, and any removed, in a time that hardly grows with their number.
#[derive(Debug, Default)]
pub struct Index {
    blocks: Vec<Vec<i64>>,
}

impl Index {
    /// Builds the index from a function that pushes every id in ascending order.
    ///
    /// # Errors
    /// Those of the function.
    pub fn build<E>(all: impl FnOnce(&mut dyn FnMut(i64)) -> Result<(), E>) -> Result<Self, E> {
        let mut index = Index::default();
        all(&mut |id| index.push(id))?;
        Ok(index)
    }

    /// Adds an id that is above all others.
    pub fn push(&mut self, id: i64) {
        match self.blocks.last_mut() {
            Some(block) if block.len() < BLOCK => block.push(id),
            _ => {
                let mut block = Vec::with_capacity(BLOCK);
                block.push(id);
                self.blocks.push(block);
            }
        }
    }

    /// Removes an id.
    pub fn remove(&mut self, id: i64) {
        let at = self.blocks.partition_point(|block| block.last().is_some_and(|last| *last < id));
        let Some(block) = self.blocks.get_mut(at) else { return };
        if let Ok(place) = block.binary_search(&id) {
            block.remove(place);
        }
        if block.is_empty() {
            self.blocks.remove(at);
        }
    }

    /// The n-th id, counted from 0.
    #[must_use]
    pub fn get(&self, n: u64) -> Option<i64> {
        let mut n = usize::try_from(n).ok()?;
        for block in &self.blocks {
            if n < block.len() {
                return Some(block[n]);
            }
            n -= block.len();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaves_as_a_plain_vector() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut plain: Vec<i64> = (0..3000).collect();
        let mut index = Index::build(|push| {
            plain.iter().copied().for_each(push);
            Ok::<(), ()>(())
        })
        .expect("the source cannot fail");
        for step in 0..5000 {
            if random.bool() || plain.is_empty() {
                plain.push(10_000 + step);
                index.push(10_000 + step);
            } else {
                for _ in 0..2.min(plain.len()) {
                    index.remove(plain.remove(random.usize(..plain.len())));
                }
            }
            let n = random.usize(..=plain.len());
            assert_eq!(index.get(n as u64), plain.get(n).copied());
        }
    }
}
