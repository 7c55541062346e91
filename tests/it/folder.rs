//! A storage directory of one test, and the files in it.

use std::fs;
use std::path::{Path, PathBuf};

use webstorage_server::origin::Origin;

/// A storage directory that goes with the test.
pub struct Folder {
    _temporary: tempfile::TempDir,
    dir: PathBuf,
}

impl Folder {
    /// A storage directory that no server has used.
    pub fn new() -> Self {
        let temporary = tempfile::tempdir().expect("the temporary directory is writable");
        let dir = temporary.path().join("storage");
        Self { _temporary: temporary, dir }
    }

    /// A storage directory as a server leaves it, without bottles.
    pub fn prepared() -> Self {
        let folder = Self::new();
        for name in ["", "bottles", "damaged"] {
            fs::create_dir(folder.dir.join(name)).expect("the names are free");
            set_mode(&folder.dir.join(name), 0o700);
        }
        folder
    }

    /// The directory's path.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// The file of an origin's bottle.
    pub fn bottle(&self, origin: &str) -> PathBuf {
        let stem = Origin::parse(origin).expect("the tests' origins are valid").file_stem();
        self.dir.join("bottles").join(format!("{stem}.sqlite"))
    }

    /// The file of the default origin's bottle.
    pub fn default_bottle(&self) -> PathBuf {
        self.bottle("http://localhost")
    }

    /// What was moved aside.
    pub fn damaged(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.dir.join("damaged")).expect("the directory is there");
        entries.map(|entry| entry.expect("the directory can be read").path()).collect()
    }
}

/// The path of a file that belongs to a database, such as its `-wal`.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

/// The permission bits of a file.
pub fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::symlink_metadata(path).expect("the file is there").permissions().mode() & 0o777
}

/// Sets the permission bits of a file.
pub fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the file is ours");
}
