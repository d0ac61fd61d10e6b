//! Standard output as files that are read as they grow.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{Origin, Tree};
use crate::journal::{Line, LineBreak, StreamBuffer};
use crate::run::Fault;

/// A file that standard output goes to, read as it grows.
#[derive(Debug)]
pub(super) struct Stream {
    /// Whose it is. All processes of a unit write to one file, one after the other; every command has its own. `None`: the command
    /// whose it was has ended, and nobody asks what it wrote any more.
    owner: Option<String>,
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) read: u64,
    /// Under a wall clock: how long it was before messages were last taken in. What was said before these lines is known.
    pub(super) known: Option<u64>,
    pub(super) buffer: StreamBuffer,
}

impl Tree {
    /// Which stream is theirs. One that was left, and that no process has any more, is given away again: file systems take their
    /// time for every new file.
    pub(super) fn stream_for(&mut self, origin: &Origin) -> io::Result<usize> {
        let owner = owner(origin);
        if let Some(index) = self.streams.iter().position(|stream| stream.owner == owner) {
            return Ok(index);
        }
        let in_use: Vec<usize> = self.processes.values().filter_map(|process| process.stream).collect();
        let is_free = |index: &usize| self.streams[*index].owner.is_none() && !in_use.contains(index);
        if let Some(index) = (0..self.streams.len()).find(is_free) {
            let stream = &mut self.streams[index];
            stream.file.set_len(0)?;
            (stream.owner, stream.read, stream.known, stream.buffer) = (owner, 0, None, StreamBuffer::default());
            return Ok(index);
        }
        let path = self.directory.join(format!("out-{}", self.streams.len()));
        let file = File::options().create(true).read(true).append(true).open(&path)?;
        self.streams.push(Stream { owner, path, file, read: 0, known: None, buffer: StreamBuffer::default() });
        Ok(self.streams.len() - 1)
    }

    /// A file for what a command is to do, that nobody reads any more once it has ended.
    pub(in crate::run) fn script_for(&mut self, number: u32) -> io::Result<PathBuf> {
        let index = self.stream_for(&Origin::Console(number))?;
        Ok(script(&self.streams[index].path))
    }

    /// What a command has written so far, and the name of its script.
    pub(in crate::run) fn written_by(&self, number: u32) -> io::Result<(Vec<u8>, PathBuf)> {
        let owner = owner(&Origin::Console(number));
        let stream = self.streams.iter().find(|stream| stream.owner == owner);
        let stream = stream.ok_or_else(|| io::Error::other("no such command"))?;
        Ok((std::fs::read(&stream.path)?, script(&stream.path)))
    }

    /// A command has ended, and what it wrote has been read. Processes that it has begun may go on writing.
    pub(in crate::run) fn leave_stream(&mut self, number: u32) {
        let owner = owner(&Origin::Console(number));
        self.streams.iter_mut().filter(|stream| stream.owner == owner).for_each(|stream| stream.owner = None);
    }
}

/// What the stream of a process is found by.
fn owner(origin: &Origin) -> Option<String> {
    Some(match origin {
        Origin::Unit { unit, .. } => unit.clone(),
        Origin::Console(number) => number.to_string(),
        Origin::Client => "client".to_owned(),
    })
}

fn script(stream: &Path) -> PathBuf {
    stream.with_extension("sh")
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
