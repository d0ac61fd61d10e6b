//! The unit directories as a tiny file system: reading and listing through symlinks, never without a bound.

use std::borrow::Cow;

use super::path;
use super::{FileEntry, Files};

/// As many symlinks as the kernel follows.
const MOST_LINKS: usize = 40;

impl Files {
    /// A file system with these regular files, all of generation 0.
    pub fn of<P: Into<String>, C: Into<Vec<u8>>>(files: impl IntoIterator<Item = (P, C)>) -> Files {
        let mut all = Files::default();
        for (path, content) in files {
            all.insert(path, content);
        }
        all
    }

    /// Writes a regular file; the generation grows if there was one.
    pub fn insert(&mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) {
        let path = path.into();
        let generation = match self.entries.get(&path) {
            Some(FileEntry::Regular { generation, .. }) => generation.saturating_add(1),
            _ => 0,
        };
        self.entries.insert(path, FileEntry::Regular { content: content.into(), generation });
    }

    /// Makes a symlink, in place of whatever was there.
    pub fn symlink(&mut self, path: impl Into<String>, target: impl Into<String>) {
        self.entries.insert(path.into(), FileEntry::Symlink { target: target.into() });
    }

    /// Where a path would be created: the symlinks to its directory resolved, the last name as it is.
    pub(crate) fn place(&self, path: &str) -> Option<String> {
        let (dir, name) = path::split(path);
        Some(format!("{}/{name}", self.canonical(dir)?.trim_end_matches('/')))
    }

    /// The path with every symlink in it resolved; `None` for a loop. The path need not exist.
    pub fn canonical<'a>(&self, path: &'a str) -> Option<Cow<'a, str>> {
        // Most paths are what they seem.
        let mut ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]);
        let is_link = |end: usize| matches!(self.entries.get(&path[..end]), Some(FileEntry::Symlink { .. }));
        if path::is_simple(path) && !ends.any(is_link) {
            return Some(Cow::Borrowed(path));
        }
        let mut links = 0;
        let mut done = String::new();
        let mut todo: Vec<String> = components(path);
        while let Some(part) = todo.pop() {
            match part.as_str() {
                ".." => done.truncate(done.rfind('/').unwrap_or(0)),
                part => {
                    let here = format!("{done}/{part}");
                    match self.entries.get(&here) {
                        Some(FileEntry::Symlink { target }) => {
                            links += 1;
                            if links > MOST_LINKS {
                                return None;
                            }
                            if target.starts_with('/') {
                                done.clear();
                            }
                            todo.extend(components(target));
                        }
                        _ => done = here,
                    }
                }
            }
        }
        Some(Cow::Owned(if done.is_empty() { "/".into() } else { done }))
    }

    /// The bytes of a file, through symlinks; `/dev/null` is an empty file.
    pub fn read(&self, path: &str) -> Option<&[u8]> {
        let path = self.canonical(path)?;
        match self.entries.get(&*path) {
            Some(FileEntry::Regular { content, .. }) => Some(content),
            None if path == "/dev/null" => Some(&[]),
            _ => None,
        }
    }

    /// The names in a directory, in order, each with its path as if the directory were no symlink.
    pub(crate) fn list(&self, dir: &str) -> Vec<(&str, &FileEntry)> {
        let Some(dir) = self.canonical(dir) else { return Vec::new() };
        self.children(&dir).filter(|(name, _)| !name.contains('/')).collect()
    }

    /// Everything below a directory, by path relative to it.
    pub(crate) fn children(&self, dir: &str) -> impl Iterator<Item = (&str, &FileEntry)> {
        let prefix = format!("{}/", dir.trim_end_matches('/'));
        self.entries
            .range(prefix.clone()..)
            .map_while(move |(path, entry)| path.strip_prefix(prefix.as_str()).map(|name| (name, entry)))
    }
}

/// The components of a path, last first, `.` and empty ones left out.
fn components(path: &str) -> Vec<String> {
    path::simplify(path).split('/').rev().filter(|part| !matches!(*part, "" | ".")).map(str::to_owned).collect()
}
