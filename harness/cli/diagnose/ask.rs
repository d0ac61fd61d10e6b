//! Other programs, asked: read-only, for so long, and for so much.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::sys;

/// What a program answered.
#[derive(Debug)]
pub(super) struct Answer {
    /// Its exit code, if it exited.
    pub(super) code: Option<i32>,
    /// Standard output.
    pub(super) out: String,
    /// Standard error.
    pub(super) err: String,
    /// Whether there was more than was read.
    pub(super) cut: bool,
}

/// More than that is not read.
const MOST: u64 = 8 << 20;
const MOST_ERRORS: u64 = 1 << 16;
/// Longer than that nobody is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a program to its end.
///
/// # Errors
///
/// If it cannot be started, or does not end in time: what and why.
pub(super) fn ask(program: &str, arguments: &[&str]) -> Result<Answer, String> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .envs([("LC_ALL", "C.UTF-8"), ("SYSTEMD_PAGER", ""), ("SYSTEMD_COLORS", "0"), ("SYSTEMD_URLIFY", "0")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = sys::start(&mut command).map_err(|error| format!("{program} cannot be run: {error}"))?;
    let (said, heard) = mpsc::channel();
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let read = |stream: Option<Box<dyn Read + Send>>, most: u64, which: usize| {
        let said = said.clone();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // Dropped at its end, so that a program with more to say hears that nobody listens.
            let read = stream.map_or(Ok(0), |stream| stream.take(most).read_to_end(&mut bytes));
            let _ = said.send((which, bytes, read.is_ok()));
        });
    };
    read(out.map(|stream| Box::new(stream) as _), MOST, 0);
    read(err.map(|stream| Box::new(stream) as _), MOST_ERRORS, 1);
    let begin = Instant::now();
    let mut texts = [Vec::new(), Vec::new()];
    for _ in 0..2 {
        match heard.recv_timeout(PATIENCE.saturating_sub(begin.elapsed())) {
            Ok((which, bytes, _)) => texts[which] = bytes,
            Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{program} did not answer within {} s", PATIENCE.as_secs()));
            }
        }
    }
    // Both of its streams are closed: it is about to end, unless it lingers on purpose.
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if begin.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(1)),
            _ => {
                let _ = child.kill();
                break child.wait().map_err(|error| format!("{program}: {error}"))?;
            }
        }
    };
    let [out, err] = texts;
    let cut = out.len() as u64 == MOST;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Answer { code: status.code(), out: text(out), err: text(err), cut })
}

/// The name and number of a user's account, looked for by either. Asked of `getent`: accounts may come from a directory service
/// whose library only programs that share the C library can load, and this executable may not.
pub(super) fn account(key: &str) -> Option<(String, u32)> {
    // Not every getent knows `--`; nobody's name looks like an option.
    if key.starts_with('-') {
        return None;
    }
    let answer = ask("getent", &["passwd", key]).ok()?;
    let mut fields = answer.out.lines().next()?.split(':');
    let name = fields.next()?.to_owned();
    Some((name, fields.nth(1)?.parse().ok()?))
}
