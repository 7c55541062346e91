//! Tables of figures, as Markdown.

use std::fmt;

/// What was measured, one figure a row.
pub struct Table {
    title: &'static str,
    floor: &'static str,
    rows: Vec<Row>,
}

struct Row {
    what: String,
    floor: String,
    measured: String,
    ratio: String,
    target: String,
    met: Option<bool>,
}

impl Table {
    /// An empty table; `floor` says what the measured figures are compared with.
    pub fn new(title: &'static str, floor: &'static str) -> Self {
        Table { title, floor, rows: Vec::new() }
    }

    /// A figure that may be at most `target` times its floor.
    pub fn at_most(&mut self, what: &str, floor: f64, measured: f64, unit: &str, target: f64) {
        let ratio = measured / floor;
        self.push(what, &shown(floor, unit), &shown(measured, unit), &format!("{ratio:.2}"), &format!("≤ {target}"), Some(ratio <= target));
    }

    /// A figure that must be at least `target` times its floor.
    pub fn at_least(&mut self, what: &str, floor: f64, measured: f64, unit: &str, target: f64) {
        let ratio = measured / floor;
        self.push(what, &shown(floor, unit), &shown(measured, unit), &format!("{ratio:.2}"), &format!("≥ {target}"), Some(ratio >= target));
    }

    /// A figure with a bound of its own, where a floor makes no sense.
    pub fn bound(&mut self, what: &str, measured: f64, unit: &str, target: &str, met: bool) {
        self.push(what, "", &shown(measured, unit), "", target, Some(met));
    }

    /// A figure with a floor and without a target.
    pub fn compare(&mut self, what: &str, floor: f64, measured: f64, unit: &str) {
        self.push(what, &shown(floor, unit), &shown(measured, unit), &format!("{:.2}", measured / floor), "", None);
    }

    /// A figure without a target.
    pub fn note(&mut self, what: &str, measured: f64, unit: &str) {
        self.push(what, "", &shown(measured, unit), "", "", None);
    }

    /// How many targets were missed.
    pub fn missed(&self) -> usize {
        self.rows.iter().filter(|row| row.met == Some(false)).count()
    }

    fn push(&mut self, what: &str, floor: &str, measured: &str, ratio: &str, target: &str, met: Option<bool>) {
        let [what, floor, measured, ratio, target] = [what, floor, measured, ratio, target].map(str::to_owned);
        self.rows.push(Row { what, floor, measured, ratio, target, met });
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "### {}\n", self.title)?;
        writeln!(formatter, "| | {} | measured | ratio | target | met |", self.floor)?;
        writeln!(formatter, "|---|---:|---:|---:|---:|---|")?;
        for Row { what, floor, measured, ratio, target, met } in &self.rows {
            let met = met.map_or("", |met| if met { "yes" } else { "**no**" });
            writeln!(formatter, "| {what} | {floor} | {measured} | {ratio} | {target} | {met} |")?;
        }
        Ok(())
    }
}

fn shown(figure: f64, unit: &str) -> String {
    let decimals = if figure >= 100.0 || figure.fract() == 0.0 { 0 } else { 2 };
    format!("{figure:.decimals$} {unit}")
}

/// The figure below which `percent` of a hundred of them are.
pub fn percentile(figures: &mut [f64], percent: usize) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[(figures.len() * percent / 100).min(figures.len() - 1)]
}

/// The middle one of some figures.
pub fn median(figures: &mut [f64]) -> f64 {
    percentile(figures, 50)
}
