//! `--follow`: a file that grows, or a pipe, until it ends or a signal comes.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::buffer::Buffer;
use super::input::{CHUNK, at};
use super::{Args, USAGE, complain};
use crate::detect::{Change, Detector, Report};
use crate::timeline::printable;

/// How often a file is looked at that has not grown.
const PAUSE: Duration = Duration::from_millis(200);

/// What is told so far.
struct Told<'a> {
    args: &'a Args,
    name: String,
    detector: Detector,
    before: Report,
    found: bool,
}

impl Told<'_> {
    /// Tells what has changed. False if nobody reads it any more.
    fn tell(&mut self, now: Report) -> bool {
        let mut out = String::new();
        for change in now.since(&self.before) {
            let (word, found) = match change {
                Change::Began(found) => ("begins", found),
                Change::Ended(found) => ("ends", found),
            };
            self.found = true;
            if self.args.format == "json" {
                let report = Report { loops: vec![found], more: 0 };
                out.push_str(&report.to_json(&self.name));
            } else {
                out.push_str(&format!("{}: a restart loop {word}\n\n{}\n", printable(&self.name), found.to_text()));
            }
            out.push('\n');
        }
        self.before = now;
        let mut stdout = io::stdout().lock();
        stdout.write_all(out.as_bytes()).and_then(|()| stdout.flush()).is_ok()
    }
}

pub(super) fn main(args: &Args, file: &Path) -> u8 {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        if let Err(error) = signal_hook::flag::register(signal, Arc::clone(&stop)) {
            complain(&format!("error: cannot wait for signals: {error}"));
            return USAGE;
        }
    }
    let name = file.to_string_lossy().into_owned();
    let detector = Detector::new(args.settings());
    let mut told = Told { args, name, detector, before: Report::default(), found: false };
    let watched = match file == Path::new("-") {
        true => pipe(&mut told, &stop),
        false => grow(&mut told, file, &stop),
    };
    if let Err(error) = watched {
        complain(&format!("error: {}", printable(&at(file, &error))));
        return USAGE;
    }
    let Told { detector, found, args, name, before } = told;
    let report = detector.finish();
    let mut last = Told { args, name, detector: Detector::new(args.settings()), before, found };
    last.tell(report);
    u8::from(last.found)
}

/// Standard input, until it ends.
fn pipe(told: &mut Told<'_>, stop: &AtomicBool) -> io::Result<()> {
    let mut input = io::stdin().lock();
    let mut buffer = Buffer::new(CHUNK);
    while !stop.load(Ordering::Relaxed) {
        // A signal interrupts the read.
        match nix::unistd::read(&input, &mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                told.detector.feed(&buffer[..length]);
                if !told.tell(told.detector.so_far()) {
                    break;
                }
            }
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let _ = &mut input;
    Ok(())
}

/// A file: what it is, and how far it was read.
struct Watched {
    file: File,
    identity: (u64, u64),
    read: u64,
}

fn open(path: &Path) -> io::Result<Watched> {
    let file = File::open(path)?;
    let known = file.metadata()?;
    if known.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(Watched { file, identity: (known.dev(), known.ino()), read: 0 })
}

/// A file that grows; one that takes its place, or that is cut short, is read from its beginning.
fn grow(told: &mut Told<'_>, path: &Path, stop: &AtomicBool) -> io::Result<()> {
    let mut watched = open(path)?;
    let mut buffer = Buffer::new(CHUNK);
    while !stop.load(Ordering::Relaxed) {
        let mut fed = false;
        loop {
            let length = match watched.file.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                length => length?,
            };
            if length == 0 {
                break;
            }
            watched.read += length as u64;
            told.detector.feed(&buffer[..length]);
            fed = true;
        }
        if fed {
            if !told.tell(told.detector.so_far()) {
                return Ok(());
            }
            continue;
        }
        if watched.file.metadata()?.len() < watched.read {
            // Truncated in place.
            watched.file.seek(SeekFrom::Start(0))?;
            watched.read = 0;
            continue;
        }
        // While a file is rotated there may be none for a moment.
        if let Ok(new) = open(path)
            && new.identity != watched.identity
        {
            watched = new;
            continue;
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
