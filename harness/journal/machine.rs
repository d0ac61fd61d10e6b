//! The machine that logs: what journald and the manager add to a line to make it a record
//! (systemd.journal-fields(7)).

use crate::time::IncidentTime;

use super::{LineBreak, Record};

/// The machine in one boot. After a reboot `boot_id` and `boot` are others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// `_HOSTNAME`.
    pub hostname: String,
    /// `_MACHINE_ID`, 32 hex digits.
    pub machine_id: String,
    /// `_BOOT_ID`, 32 hex digits.
    pub boot_id: String,
    /// When it was booted: zero of the monotonic clock.
    pub boot: IncidentTime,
}

/// A line of the manager (or of a child it forked that has not become its program yet), before journald.
#[derive(Clone, Copy, Debug, Default)]
pub struct ManagerLine<'a> {
    /// syslog priority.
    pub priority: u8,
    /// The text.
    pub message: &'a str,
    /// `MESSAGE_ID`.
    pub message_id: Option<&'a str>,
    /// `UNIT`.
    pub unit: Option<&'a str>,
    /// `INVOCATION_ID`.
    pub invocation_id: Option<&'a str>,
    /// Event fields, such as `JOB_TYPE`.
    pub fields: &'a [(&'a str, &'a str)],
    /// Logged by a forked child: its PID and SYSLOG_IDENTIFIER, `(python)`. `None`: by PID 1.
    pub child: Option<(u32, &'a str)>,
}

/// A line that a process of a unit wrote to its standard output or error, without the newline.
#[derive(Clone, Copy, Debug, Default)]
pub struct StdoutLine<'a> {
    /// The unit it belongs to.
    pub unit: &'a str,
    /// The unit's invocation ID.
    pub invocation_id: &'a str,
    /// Who wrote.
    pub pid: u32,
    /// The kernel's name of it.
    pub comm: &'a str,
    /// The file it executes.
    pub exe: &'a str,
    /// Its command line, shell-quoted where needed.
    pub cmdline: &'a str,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// `SYSLOG_IDENTIFIER`: SyslogIdentifier=, or the name of the program that ExecStart= names.
    pub identifier: &'a str,
    /// Names the connection to journald, 32 hex digits.
    pub stream_id: &'a str,
    /// What was written.
    pub line: &'a [u8],
    /// What ended the line.
    pub line_break: LineBreak,
    /// SyslogLevel=, SyslogFacility= and their like.
    pub levels: Levels,
}

/// What a line's priority and facility are (systemd.exec(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// SyslogLevel=: the priority of a line that does not say its own.
    pub level: u8,
    /// SyslogFacility=.
    pub facility: u8,
    /// SyslogLevelPrefix=: whether `<N>` before a line is its priority.
    pub prefix: bool,
    /// LogLevelMax=: what is less important is dropped.
    pub max: Option<u8>,
}

impl Default for Levels {
    fn default() -> Self {
        Self { level: 6, facility: 3, prefix: true, max: None }
    }
}

const ALL_CAPABILITIES: &str = "1ffffffffff";

/// Where in systemd's source a message comes from, by MESSAGE_ID, as systemd 252 reports it.
const CODE: &[(&str, &str, &str, &str)] = &[
    ("7d4958e842da4a758f6c1cdc7b36dcc5", "src/core/job.c", "580", "job_emit_start_message"),
    ("de5b426a63be47a7b6ac3eaac82e2f6f", "src/core/job.c", "580", "job_emit_start_message"),
    ("d34d037fff1847e6ae669a370e694725", "src/core/job.c", "580", "job_emit_start_message"),
    ("39f53479d3a045ac8e11786248231fbf", "src/core/job.c", "767", "job_emit_done_message"),
    ("be02cf6855d2428ba40df7e9d022f03d", "src/core/job.c", "767", "job_emit_done_message"),
    ("9d1aaa27d60140bd96365438aad20286", "src/core/job.c", "767", "job_emit_done_message"),
    ("7b05ebc668384222baa8881179cfda54", "src/core/job.c", "767", "job_emit_done_message"),
    ("5eb03494b6584870a536b337290809b3", "src/core/service.c", "2373", "service_enter_restart"),
    ("ae8f7b866b0347b9af31fe1c80b127c0", "src/core/unit.c", "2503", "unit_log_resources"),
    ("7ad2d189f7e94e70a38c781354912448", "src/core/unit.c", "5618", "unit_log_success"),
    ("d9b373ed55a64feb8242e02dbe79a49c", "src/core/unit.c", "5629", "unit_log_failure"),
    ("0e4284a0caca4bfc81c0bb6786972673", "src/core/unit.c", "5640", "unit_log_skip"),
    ("98e322203f7a4ed290d09fe03c09fe15", "src/core/unit.c", "5671", "unit_log_process_exit"),
];

impl Machine {
    /// The record of a line of the manager (SPEC 8).
    pub fn manager_record(&self, now: IncidentTime, line: &ManagerLine<'_>) -> Record {
        let mut record = Record::new(now, self.boot)
            .with("_BOOT_ID", self.boot_id.as_str())
            .with("SYSLOG_FACILITY", "3")
            .with("PRIORITY", line.priority.to_string())
            .with("_UID", "0")
            .with("_GID", "0")
            .with("_MACHINE_ID", self.machine_id.as_str())
            .with("_HOSTNAME", self.hostname.as_str())
            .with("_RUNTIME_SCOPE", "system")
            .with("TID", line.child.map_or(1, |(pid, _)| pid).to_string());
        if let Some((_, file, number, function)) =
            line.message_id.and_then(|id| CODE.iter().find(|(known, ..)| *known == id))
        {
            record.push("CODE_FILE", *file);
            record.push("CODE_LINE", *number);
            record.push("CODE_FUNC", *function);
        }
        let identifier = line.child.map_or("systemd", |(_, identifier)| identifier);
        record.push("SYSLOG_IDENTIFIER", identifier);
        for (name, value) in line.fields {
            record.push(name, *value);
        }
        record.push("_TRANSPORT", "journal");
        record.push("_PID", line.child.map_or(1, |(pid, _)| pid).to_string());
        record.push("_COMM", identifier);
        record.push("_EXE", "/usr/lib/systemd/systemd");
        record.push("_CMDLINE", if line.child.is_some() { identifier } else { "/sbin/init" });
        record.push("_CAP_EFFECTIVE", ALL_CAPABILITIES);
        match (line.child, line.unit) {
            // The child has joined the unit's group by then.
            (Some(_), Some(unit)) => {
                record.push("_SYSTEMD_CGROUP", format!("/system.slice/{unit}"));
                record.push("_SYSTEMD_UNIT", unit);
                record.push("_SYSTEMD_SLICE", "system.slice");
            }
            _ => {
                record.push("_SYSTEMD_CGROUP", "/init.scope");
                record.push("_SYSTEMD_UNIT", "init.scope");
                record.push("_SYSTEMD_SLICE", "-.slice");
            }
        }
        for (name, value) in [("MESSAGE_ID", line.message_id), ("UNIT", line.unit), ("MESSAGE", Some(line.message))] {
            if let Some(value) = value {
                record.push(name, value);
            }
        }
        if let Some(id) = line.invocation_id {
            record.push("INVOCATION_ID", id);
            if line.child.is_some() {
                record.push("_SYSTEMD_INVOCATION_ID", id);
            }
        }
        record.push("_SOURCE_REALTIME_TIMESTAMP", now.as_micros().to_string());
        record
    }

    /// The record of a line of a unit's process, `None` for an empty line, which journald drops, and for one that is
    /// less important than LogLevelMax=.
    ///
    /// With SyslogLevelPrefix= a prefix `<N>` sets the priority and goes. Blanks at the end go too, unless there is
    /// nothing else.
    pub fn stdout_record(&self, now: IncidentTime, line: &StdoutLine<'_>) -> Option<Record> {
        let text = match line.line.iter().rposition(|b| !b" \t\r\n".contains(b)) {
            Some(last) => &line.line[..=last],
            None => line.line,
        };
        let Levels { level, facility, prefix, max } = line.levels;
        let (priority, message) = match split_level(text).filter(|_| prefix) {
            Some((priority, message)) => (priority, message),
            None => (level, text),
        };
        if message.is_empty() || max.is_some_and(|max| priority > max) {
            return None;
        }
        let mut record = Record::new(now, self.boot)
            .with("_BOOT_ID", self.boot_id.as_str())
            .with("_TRANSPORT", "stdout")
            .with("_STREAM_ID", line.stream_id)
            .with("PRIORITY", priority.to_string())
            .with("SYSLOG_FACILITY", facility.to_string())
            .with("SYSLOG_IDENTIFIER", line.identifier);
        if let Some(line_break) = line.line_break.field() {
            record.push("_LINE_BREAK", line_break);
        }
        Some(
            record
                .with("MESSAGE", message)
                .with("_PID", line.pid.to_string())
                .with("_UID", line.uid.to_string())
                .with("_GID", line.gid.to_string())
                .with("_COMM", line.comm)
                .with("_EXE", line.exe)
                .with("_CMDLINE", line.cmdline)
                .with("_CAP_EFFECTIVE", if line.uid == 0 { ALL_CAPABILITIES } else { "0" })
                .with("_SYSTEMD_CGROUP", format!("/system.slice/{}", line.unit))
                .with("_SYSTEMD_UNIT", line.unit)
                .with("_SYSTEMD_SLICE", "system.slice")
                .with("_SYSTEMD_INVOCATION_ID", line.invocation_id)
                .with("_MACHINE_ID", self.machine_id.as_str())
                .with("_HOSTNAME", self.hostname.as_str())
                .with("_RUNTIME_SCOPE", "system"),
        )
    }
}

/// The level that a line begins with (sd-daemon(3)) and the rest: `<N>`.
fn split_level(line: &[u8]) -> Option<(u8, &[u8])> {
    let rest = line.strip_prefix(b"<")?;
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    if !(1..=3).contains(&digits) || rest.get(digits) != Some(&b'>') {
        return None;
    }
    // A number with a facility is no level: the line stays as it is.
    let number = rest[..digits].iter().fold(0u16, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    u8::try_from(number).ok().filter(|level| *level <= 7).map(|level| (level, &rest[digits + 1..]))
}
