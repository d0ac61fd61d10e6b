//! What the embedded manager makes of a case, with real processes in lock-step.

use super::case::{Act, Answer, Case, Ended, Times, here, unit_file};
use super::said::{Said, hear};
use super::{DIR, HOSTNAME, TIMER_PHASE, TOLERANCE_MS, normal};
use crate::journal::Record;
use crate::run::{Fault, Live, LiveSetup, Options};
use crate::time::{IncidentTime, Span};
use crate::unit::Profile;

/// When a case begins: 2026-01-16 01:00:00 UTC.
const START: IncidentTime = IncidentTime::from_micros(1_768_525_200_000_000);

/// How long a command may go on after the last one was entered, if nobody knows when it ends.
const PATIENCE: Span = Span::from_secs(20);

/// Plays a case. Where it ends depends on the answer that it will be compared with, if there is one: what a machine
/// does after its last command has ended is in no answer.
///
/// # Errors
///
/// A [`Fault`] if the run cannot begin, or a process of the case does not come back to lock-step.
pub fn play(case: &Case, profile: Profile, theirs: Option<&Answer>, options: &Options) -> Result<Answer, Fault> {
    let mut live = Live::boot(setup(case, profile), options)?;
    let answer = play_in(&mut live, case, theirs)?;
    live.end()?;
    Ok(answer)
}

fn setup(case: &Case, profile: Profile) -> LiveSetup {
    let sockets = case.family == "sck";
    LiveSetup {
        profile,
        start: START,
        timer_phase: TIMER_PHASE,
        hostname: HOSTNAME.to_owned(),
        // Sockets and FIFOs lie in /run.
        directories: [DIR, "/run"][..if sockets { 2 } else { 1 }].iter().map(|&path| path.to_owned()).collect(),
        ports: if sockets || ["fds", "fdp"].contains(&case.family.as_str()) {
            [8100, 8101].into()
        } else {
            Default::default()
        },
        unknown_accounts: ["nobodyknows".to_owned()].into(),
    }
}

fn play_in(live: &mut Live, case: &Case, theirs: Option<&Answer>) -> Result<Answer, Fault> {
    for (path, text) in case.files() {
        live.write(&path, &text)?;
    }
    let mut entered = Vec::new();
    let mut ended = Vec::new();
    for (index, action) in case.actions.iter().enumerate() {
        ended.extend(live.run_until(START + action.t)?);
        match &action.act {
            Act::Write { write, text } if !write.is_empty() => live.write(&unit_file(write), &here(text))?,
            Act::Write { .. } => {}
            Act::Enter { cmd } => {
                let id = live.enter(&format!("{{ {}\n}} >/home/{index}.out 2>/home/{index}.err", here(cmd)))?;
                entered.push((index, id));
            }
        }
    }
    let end = match theirs {
        Some(theirs) => theirs.end(),
        None => {
            let last = case.actions.last().map_or(Span::ZERO, |action| action.t);
            let step = Span::from_millis(50);
            let mut at = last;
            while at < last + PATIENCE && ended.len() < entered.len() {
                at = at + step;
                ended.extend(live.run_until(START + at)?);
            }
            Times::at(ended.iter().map(|command| ms(command.at)).max().unwrap_or(0))
        }
    };
    // Where a recording ends: what systemd does later is not in it.
    ended.extend(live.run_until(START + Span::from_millis(end.0 + 20))?);
    let (messages, child_messages) = hear(case, said(live));
    let runs = live.read(&format!("{DIR}/n")).map_or_else(String::new, |n| String::from_utf8_lossy(&n).into_owned());
    ended.extend(live.run_until(START + Span::from_millis(end.1 + 2 * TOLERANCE_MS))?);

    let mut commands = vec![Ended::default(); case.actions.len()];
    for (index, id) in entered {
        let Some(command) = ended.iter().find(|command| command.id == id) else { continue };
        let line = case.actions[index].line();
        let printed = |what| {
            let bytes = live.read(&format!("/home/{index}.{what}")).unwrap_or_default();
            normal::printed(line, &String::from_utf8_lossy(&bytes).replace(DIR, "@DIR@"))
        };
        commands[index] = Ended {
            rc: Some(command.status),
            out: printed("out"),
            err: printed("err"),
            end_ms: Some(Times::at(ms(command.at))),
        };
    }
    let runs = runs.trim().parse().unwrap_or(0);
    Ok(Answer { messages, child_messages, commands, runs, order: case.order.clone() })
}

fn ms(at: IncidentTime) -> u64 {
    at.since(START).as_micros() / 1000
}

/// What the journal has.
fn said(live: &Live) -> Vec<Said> {
    let all = |record: &Record, name: &str| -> Vec<String> {
        let values = record.fields.iter().filter(|(field, _)| field == name);
        values.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    };
    let fields = |record: &Record| {
        let text = |(name, value): &(String, Vec<u8>)| (name.clone(), String::from_utf8_lossy(value).into_owned());
        record.fields.iter().map(text).collect()
    };
    let entries = live.journal().entries().map(|entry| entry.record);
    entries
        .map(|record| Said {
            at_ms: ms(record.realtime),
            priority: record.priority().unwrap_or(6),
            units: all(record, "UNIT"),
            text: record.message(),
            message_id: record.get("MESSAGE_ID").map(str::to_owned),
            invocations: all(record, "INVOCATION_ID"),
            fields: fields(record),
            by_child: record.get("_PID") != Some("1"),
        })
        .collect()
}
