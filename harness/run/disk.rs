//! Scenario files from the file system.

use std::io;
use std::path::Path;

use crate::scenario::{Error, Loader, Scenario};

/// Reads documents from the file system.
struct Disk;

impl Loader for Disk {
    fn read(&self, path: &str) -> Result<String, String> {
        match std::fs::read(path) {
            Ok(bytes) => String::from_utf8(bytes).map_err(|error| {
                format!(
                    "the file is not UTF-8 (byte {}); scenario files are Markdown in UTF-8",
                    error.utf8_error().valid_up_to()
                )
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err("there is no such file".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Scenario {
    /// Reads a scenario file and those it extends.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it, with its place.
    pub fn load(path: impl AsRef<Path>) -> Result<Scenario, Error> {
        Scenario::load_with(&path.as_ref().to_string_lossy(), &Disk)
    }
}
