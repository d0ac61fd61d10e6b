//! Inputs: files and standard input, plain or packed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Stdin};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc;

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

use super::buffer::Buffer;
use crate::detect::{Detector, Pieces, Plan, Report, Settings, Skimmer, Study};

/// So much is read at once: more does not make it faster, and it stays in the cache while it is looked at.
pub(super) const CHUNK: usize = 512 << 10;

/// Larger files are sampled first.
const LARGE: u64 = 16 << 20;
/// So much of both ends is read in whole.
const END: usize = 256 << 10;
/// So many samples are taken, of so much each.
const WINDOWS: u64 = 32;
const WINDOW: usize = 32 << 10;

/// A log is skimmed in so many parts, by one of at most so many each; a part has so much at least and at most.
const PARTS: u64 = 64;
const WORKERS: u64 = 3;
const PART: (u64, u64) = (1 << 20, 8 << 20);
/// So much of it is looked at at once: it stays in the cache of the processor that it was read by, also where two share one.
const SKIM: usize = 256 << 10;
/// What is found in a part is handed on when it is so much, and so many of these are kept of each until they are read.
const FOUND: usize = 256 << 10;
const AHEAD: usize = 4;
/// So much behind a part is looked at for the end of what begins in it.
const TAIL: u64 = 4 << 10;

/// What the first bytes of packed files are.
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What is read from.
enum Source {
    File(File),
    Stdin(Stdin),
}

impl Read for Source {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Source::File(file) => file.read(into),
            Source::Stdin(stdin) => stdin.read(into),
        }
    }
}

/// What an error is told of.
pub(super) fn at(file: &Path, error: &io::Error) -> String {
    let name = file.display();
    match error.kind() {
        io::ErrorKind::NotFound => format!("{name}: there is no such file"),
        io::ErrorKind::IsADirectory => format!("{name}: it is a directory, expected a log"),
        _ => format!("{name}: {error}"),
    }
}

/// Reads an input to its end.
pub(super) fn read(file: &Path, settings: &Settings) -> Result<Report, String> {
    let whole = |source| unpack(source, settings.clone()).map_err(|error| at(file, &error));
    if file == Path::new("-") {
        return whole(Source::Stdin(io::stdin()));
    }
    let opened = File::open(file).map_err(|error| at(file, &error))?;
    let kind = opened.metadata().map_err(|error| at(file, &error))?;
    if kind.is_dir() {
        return Err(at(file, &io::ErrorKind::IsADirectory.into()));
    }
    if kind.is_file() && kind.len() > LARGE {
        let found = large(&opened, kind.len(), settings.clone()).map_err(|error| at(file, &error))?;
        return match found {
            Ok(report) => Ok(report),
            Err(settings) => unpack(Source::File(opened), settings).map_err(|error| at(file, &error)),
        };
    }
    whole(Source::File(opened))
}

/// Reads a large file by what samples of it tell; the settings are handed back if all of it has to be read.
fn large(file: &File, size: u64, settings: Settings) -> io::Result<Result<Report, Settings>> {
    let mut buffer = Buffer::new(END);
    let mut study = Study::new(settings.clone());
    // Both ends, and windows at equal distances between them.
    let ends = (END as u64, size - END as u64);
    let places = (1..WINDOWS).map(|n| size / WINDOWS * n).filter(|at| (ends.0..ends.1 - WINDOW as u64).contains(at));
    let places = std::iter::once((0, END)).chain(places.map(|at| (at, WINDOW))).chain([(ends.1, END)]);
    for (at, length) in places {
        if study.knows_starts() && at < ends.1 {
            continue;
        }
        let length = fill(file, &mut buffer[..length], at)?;
        let sample = &buffer[..length];
        if at == 0 && (sample.starts_with(&GZIP) || sample.starts_with(&ZSTD)) {
            return Ok(Err(settings));
        }
        study.sample(sample, at == 0);
    }
    let Some((plan, mut reader)) = study.plan() else { return Ok(Err(settings)) };
    let part = (size / PARTS).next_multiple_of(SKIM as u64).clamp(PART.0, PART.1);
    let log = Log { file, size, ends, plan, part };
    let parts = size.div_ceil(part);
    let workers = std::thread::available_parallelism().map_or(1, |cores| (cores.get() as u64).min(WORKERS));
    std::thread::scope(|scope| {
        // Each has every nth part, and is not far ahead of who reads what they find.
        let found: Vec<_> = (0..workers)
            .map(|first| {
                let (send, found) = mpsc::sync_channel(AHEAD);
                let log = &log;
                scope.spawn(move || {
                    let mut buffer = Buffer::new(SKIM);
                    for part in (first..parts).step_by(workers as usize) {
                        let ended = log.part(part, &mut buffer, |pieces| send.send(Ok(Some(pieces))).is_ok());
                        // Whoever no longer listens has failed.
                        if send.send(ended.map(|()| None)).is_err() {
                            break;
                        }
                    }
                });
                found
            })
            .collect();
        for part in 0..parts {
            let lost = || io::Error::other("a part of it was not read");
            while let Some(pieces) = found[(part % workers) as usize].recv().map_err(|_| lost())?? {
                reader.take(&pieces);
            }
        }
        Ok(Ok(reader.finish()))
    })
}

/// A large log is skimmed by parts.
struct Log<'a> {
    file: &'a File,
    size: u64,
    /// What is before the first and behind the second is read in whole.
    ends: (u64, u64),
    plan: Plan,
    /// The size of a part.
    part: u64,
}

impl Log<'_> {
    /// Hands on what a part of it has, as long as somebody takes it: lines that begin there.
    fn part(&self, part: u64, buffer: &mut [u8], mut hand_on: impl FnMut(Pieces) -> bool) -> io::Result<()> {
        let begin = part * self.part;
        // Whatever it has grown by is in the last.
        let end = if begin + self.part < self.size { begin + self.part } else { u64::MAX };
        let mut at = Skimmer::first(begin);
        let mut skimmer = Skimmer::new(&self.plan, begin..end);
        loop {
            // What is behind it is hardly needed.
            let most = if at < end { end - at } else { TAIL };
            let room = usize::try_from(most).unwrap_or(SKIM).min(SKIM);
            let length = fill(self.file, &mut buffer[..room], at)?;
            let bytes = &buffer[..length];
            if at < self.ends.0 || at + length as u64 > self.ends.1 {
                skimmer.read(bytes);
            } else {
                skimmer.skim(bytes);
            }
            at += length as u64;
            if length == 0 || !skimmer.needs_more() {
                hand_on(skimmer.finish(length == 0));
                return Ok(());
            }
            if skimmer.found() >= FOUND && !hand_on(skimmer.take()) {
                return Ok(());
            }
        }
    }
}

/// Fills a buffer from a place in a file, as far as the file goes.
fn fill(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn unpack(source: Source, settings: Settings) -> io::Result<Report> {
    let mut source = BufReader::with_capacity(CHUNK, source);
    // A pipe may hand out less than the magic bytes at first.
    let mut head = Vec::new();
    while head.len() < 4 {
        let more = source.fill_buf()?;
        if more.is_empty() {
            break;
        }
        let taken = more.len().min(4 - head.len());
        head.extend_from_slice(&more[..taken]);
        source.consume(taken);
    }
    let packed = [&head[..], b""].concat();
    let rest = io::Cursor::new(packed).chain(source);
    if head.starts_with(&GZIP) {
        return all(MultiGzDecoder::new(BufReader::with_capacity(CHUNK, rest)), settings);
    }
    if head.starts_with(&ZSTD) {
        return all(Frames::new(BufReader::with_capacity(CHUNK, rest)), settings);
    }
    all(rest, settings)
}

/// Feeds all of an input to a detector.
fn all(mut input: impl Read, settings: Settings) -> io::Result<Report> {
    let mut detector = Detector::new(settings);
    let mut buffer = Buffer::new(CHUNK);
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(detector.finish()),
            Ok(length) => detector.feed(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The frames of a zstd file, one after another.
struct Frames<R: BufRead> {
    open: Option<Box<StreamingDecoder<R, ruzstd::decoding::FrameDecoder>>>,
    rest: Option<R>,
}

impl<R: BufRead> Frames<R> {
    fn new(input: R) -> Self {
        Self { open: None, rest: Some(input) }
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bad =
            |error: &dyn std::fmt::Display| io::Error::new(io::ErrorKind::InvalidData, format!("not zstd: {error}"));
        loop {
            if let Some(frame) = &mut self.open {
                let length = frame.read(into)?;
                if length > 0 || into.is_empty() {
                    return Ok(length);
                }
                self.rest = self.open.take().map(|frame| frame.into_inner());
            }
            let Some(mut input) = self.rest.take() else { return Ok(0) };
            if input.fill_buf()?.is_empty() {
                return Ok(0);
            }
            self.open = Some(Box::new(StreamingDecoder::new(input).map_err(|error| bad(&error))?));
        }
    }
}
