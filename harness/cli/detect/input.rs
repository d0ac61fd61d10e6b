//! Inputs: files and standard input, plain or packed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Stdin};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

use crate::detect::{Detector, Report, Settings};

/// So much is read at once: more does not make it faster, and it stays in the cache while it is looked at.
pub(super) const CHUNK: usize = 512 << 10;

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
pub(super) fn read(file: &Path, settings: Settings) -> Result<Report, String> {
    let whole = |source| unpack(source, settings).map_err(|error| at(file, &error));
    if file == Path::new("-") {
        return whole(Source::Stdin(io::stdin()));
    }
    let opened = File::open(file).map_err(|error| at(file, &error))?;
    let kind = opened.metadata().map_err(|error| at(file, &error))?;
    if kind.is_dir() {
        return Err(at(file, &io::ErrorKind::IsADirectory.into()));
    }
    whole(Source::File(opened))
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
    let mut buffer = vec![0; CHUNK];
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
