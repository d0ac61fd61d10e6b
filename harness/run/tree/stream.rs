//! Standard output as files that are read as they grow.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::journal::{Line, LineBreak, StreamBuffer};
use crate::run::Fault;

/// A file that standard output goes to, read as it grows.
#[derive(Debug)]
pub(super) struct Stream {
    /// The unit, or the number of the command.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) read: u64,
    /// Under a wall clock: how long it was before messages were last taken in. What was said before these lines is known.
    pub(super) known: Option<u64>,
    pub(super) buffer: StreamBuffer,
}

impl Stream {
    /// Reads whole lines up to the position, or to the end.
    pub(super) fn lines(&mut self, until: Option<u64>, mut line: impl FnMut(Line)) -> Result<(), Fault> {
        loop {
            let mut chunk = [0u8; 8192];
            let room =
                until.map_or(chunk.len() as u64, |until| until.saturating_sub(self.read).min(chunk.len() as u64));
            let want = usize::try_from(room).unwrap_or(chunk.len());
            if want == 0 {
                return Ok(());
            }
            let count = self.file.read_at(&mut chunk[..want], self.read)?;
            if count == 0 {
                return Ok(());
            }
            self.read += count as u64;
            self.buffer.push(&chunk[..count]).into_iter().for_each(&mut line);
        }
    }

    /// What is left without a newline when its writer is gone.
    pub(super) fn last_line(&mut self, line: impl FnMut(Line)) {
        self.buffer.flush(LineBreak::Eof).into_iter().for_each(line);
    }
}
