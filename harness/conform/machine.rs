//! What systemd makes of a case, in a machine of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use serde_json::Value;

use super::case::{Act, Answer, Case, Ended, Times, here, unit_file};
use super::said::{Said, hear};
use super::{DIR, HOSTNAME, TIMER_PHASE, normal};
use crate::run::{Cancel, Container, ContainerSetup, Unavailable};

/// The manager's timers have an accuracy of a quarter of a second: that is when they fire, if nothing wakes it before.
const QUARTER: u64 = 250_000;
/// From the first answer of a booted machine until nothing of its boot is left to do.
const SETTLE: Duration = Duration::from_millis(400);
/// How long it may take until a request to end is heard.
const SLICE: Duration = Duration::from_millis(500);
/// How long commands may go on after the last one was entered.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// No machine can be made here.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The machine did not do what every machine does.
    #[error("the machine with systemd: {0}")]
    Io(#[from] io::Error),
}

/// Boots a machine and plays the case in it; the answer, and the first line of `systemctl --version`.
///
/// # Errors
///
/// See [`Trouble`].
pub fn play(case: &Case, setup: &ContainerSetup, cancel: &Cancel) -> Result<(Answer, String), Trouble> {
    let setup = ContainerSetup { hostname: HOSTNAME.to_owned(), ..setup.clone() };
    let mut machine = Container::boot(&setup)?;
    let played = Player { machine: &mut machine, begin: Instant::now(), ended: BTreeMap::new(), cancel }.play(case);
    // Its answer is known: how it ends is of no interest.
    let _ = machine.end();
    Ok(played?)
}

struct Player<'a> {
    machine: &'a mut Container,
    /// When the first action was.
    begin: Instant,
    /// What has ended when, by PID.
    ended: BTreeMap<i32, (u8, u64)>,
    cancel: &'a Cancel,
}

impl Player<'_> {
    fn play(mut self, case: &Case) -> io::Result<(Answer, String)> {
        for (path, text) in case.files() {
            self.write(&path, &text)?;
        }
        let version = self.machine.run(&["systemctl", "--version"])?.1;
        // The journal is a persistent one, as Debian has it, with the texts of `journalctl -x`.
        self.machine.run(&["journalctl", "--flush"])?;
        self.machine.run(&["journalctl", "--update-catalog"])?;
        std::thread::sleep(SETTLE);
        wait_for_phase()?;
        self.begin = Instant::now();
        let begin = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)?;

        let mut entered = BTreeMap::new();
        for (index, action) in case.actions.iter().enumerate() {
            self.wait_until(Duration::from_micros(action.t.as_micros()), |_| false)?;
            match &action.act {
                Act::Enter { cmd } => _ = entered.insert(self.enter(index, &here(cmd))?, index),
                Act::Write { write, .. } if write.is_empty() => {}
                Act::Write { write, text } => self.write(&unit_file(write), &here(text))?,
            }
        }
        let all = entered.len();
        let end = self.begin.elapsed() + PATIENCE;
        self.wait_until(end, |ended| ended == all)?;

        let mut commands = vec![Ended::default(); case.actions.len()];
        for (pid, index) in entered {
            let Some(&(code, at)) = self.ended.get(&pid) else { continue };
            let line = case.actions[index].line();
            let printed = |stream| -> io::Result<String> {
                let bytes = fs::read(self.machine.below(&output(index, stream)))?;
                Ok(normal::printed(line, &String::from_utf8_lossy(&bytes).replace(DIR, "@DIR@")))
            };
            commands[index] =
                Ended { rc: Some(code), out: printed("out")?, err: printed("err")?, end_ms: Some(Times::at(at)) };
        }
        let runs = fs::read_to_string(self.machine.below(&format!("{DIR}/n"))).unwrap_or_default();
        let mut answer = Answer { commands, runs: runs.trim().parse().unwrap_or(0), ..Answer::default() };
        // Only now: who looks at systemd wakes it, and its timers fire.
        self.machine.run(&["journalctl", "--sync"])?;
        let journal = self.machine.run(&["journalctl", "-o", "json", "--all", "--no-pager", "-q"])?.1;
        let begin = u64::try_from(begin.as_micros()).map_err(io::Error::other)?;
        let last = answer.end().1;
        let said = journal.lines().filter_map(|line| record(line, begin)).filter(|said| said.at_ms <= last);
        (answer.messages, answer.child_messages) = hear(case, said);
        answer.order.clone_from(&case.order);
        Ok((answer, version.lines().next().unwrap_or_default().to_owned()))
    }

    fn write(&self, path: &str, text: &str) -> io::Result<()> {
        let path = self.machine.below(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, text)?;
        if text.starts_with("#!") {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    fn enter(&mut self, index: usize, line: &str) -> io::Result<i32> {
        let environment =
            [("PATH", "/bin:/usr/bin"), ("HOME", "/root"), ("LANG", "C.UTF-8"), ("SYSTEMD_PAGER", ""), ("DIR", DIR)];
        self.machine.spawn(&["/bin/sh", "-c", line], &environment, &output(index, "out"), &output(index, "err"))
    }

    /// Takes note of what ends until a moment, or until enough has.
    fn wait_until(&mut self, moment: Duration, enough: impl Fn(usize) -> bool) -> io::Result<()> {
        while !enough(self.ended.len()) {
            let left = moment.saturating_sub(self.begin.elapsed());
            if left.is_zero() {
                break;
            }
            if self.cancel.is_set() {
                return Err(io::Error::from(io::ErrorKind::Interrupted));
            }
            if let Some((pid, status)) = self.machine.wait(left.min(SLICE))? {
                let at = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX);
                self.ended.insert(pid, (status.as_shell(), at));
            }
        }
        Ok(())
    }
}

/// Where a command writes.
fn output(index: usize, stream: &str) -> String {
    format!("/relapse/{index}.{stream}")
}

/// Until a quarter of a second begins in which this machine's timers fire at [`TIMER_PHASE`].
///
/// Where they fire depends on the boot's ID: sd-event spreads the wake-ups of machines (`initialize_perturb`).
fn wait_for_phase() -> io::Result<()> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let digits: Vec<u64> = id.chars().filter_map(|c| Some(u64::from(c.to_digit(16)?))).collect();
    let bytes: Vec<u8> = digits.chunks_exact(2).filter_map(|pair| u8::try_from(pair[0] << 4 | pair[1]).ok()).collect();
    // Two numbers in the machine's own byte order.
    let half = |from: usize| bytes.get(from..from + 8).and_then(|half| half.try_into().ok()).map(u64::from_ne_bytes);
    let halves = half(0).zip(half(8)).ok_or_else(|| io::Error::other("the kernel's boot_id is not one"))?;
    let perturbed = (halves.0 ^ halves.1) % 60_000_000;
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    let now = u64::try_from(Duration::from(now).as_micros()).map_err(io::Error::other)?;
    let late = (now + QUARTER + TIMER_PHASE.as_micros() - perturbed % QUARTER) % QUARTER;
    std::thread::sleep(Duration::from_micros(QUARTER - late));
    Ok(())
}

/// A line of `journalctl -o json`, unless it is from before the case.
fn record(line: &str, begin: u64) -> Option<Said> {
    let record: BTreeMap<String, Value> = serde_json::from_str(line).ok()?;
    let text = |name: &str| record.get(name).and_then(Value::as_str);
    let at: u64 = text("_SOURCE_REALTIME_TIMESTAMP").or_else(|| text("__REALTIME_TIMESTAMP"))?.parse().ok()?;
    // A field that was logged several times is a list.
    let all = |name: &str| -> Vec<String> {
        match record.get(name) {
            Some(Value::String(value)) => vec![value.clone()],
            Some(Value::Array(values)) => values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect(),
            _ => Vec::new(),
        }
    };
    Some(Said {
        at_ms: at.checked_sub(begin)? / 1000,
        priority: text("PRIORITY").and_then(|priority| priority.parse().ok()).unwrap_or(6),
        units: all("UNIT"),
        text: text("MESSAGE")?.to_owned(),
        message_id: text("MESSAGE_ID").map(str::to_owned),
        invocations: all("INVOCATION_ID"),
        fields: record.iter().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect(),
        by_child: text("_PID") != Some("1"),
    })
}
