//! In what two answers to a case differ.

use std::fmt;

use super::case::{Answer, Case, Ended, Message};
use super::said::NOT_COMPARED;
use super::{DIR, TOLERANCE_MS, normal};

/// What a difference is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The manager's records: words, fields, order or number.
    Message,
    /// When the manager said something.
    Moment,
    /// What forked children said before their exec.
    Children,
    /// A command's exit code, or that it ends at all.
    Code,
    /// What a command printed.
    Output,
    /// When a command ended.
    End,
    /// How often the program ran.
    Runs,
    /// The embedded manager's run did not come to its end.
    Fault,
}

/// A difference: theirs is what systemd did, ours what the embedded manager does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is about.
    pub kind: Kind,
    /// Which command or message, in words that do not change when others are removed.
    pub subject: String,
    /// All of it.
    pub text: String,
}

impl Difference {
    /// There is no answer of ours.
    pub(super) fn fault(text: &str) -> Self {
        Self { kind: Kind::Fault, subject: String::new(), text: format!("the run of the embedded manager: {text}") }
    }

    /// Whether it is the same thing that went wrong, if perhaps at another moment.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.kind == other.kind && self.subject == other.subject
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Everything in which our answer is not theirs.
pub fn compare(case: &Case, theirs: &Answer, ours: &Answer) -> Vec<Difference> {
    let mut wrong = Vec::new();
    for (index, action) in case.actions.iter().enumerate() {
        let none = Ended::default();
        let of = |answer: &Answer| answer.commands.get(index).cloned().unwrap_or_else(|| none.clone());
        if !action.line().is_empty() {
            compare_command(action.line(), &of(theirs), &of(ours), &mut wrong);
        }
    }
    compare_messages(theirs, ours, &mut wrong);
    if theirs.runs != ours.runs {
        wrong.push(Difference {
            kind: Kind::Runs,
            subject: String::new(),
            text: format!("the program ran {} times, not {}", ours.runs, theirs.runs),
        });
    }
    wrong
}

/// The messages of PID 1: text, priority, MESSAGE_ID, event fields, unit, invocation, order and time; and those of its
/// children, in any order.
pub fn compare_messages(theirs: &Answer, ours: &Answer, wrong: &mut Vec<Difference>) {
    let per_unit = [theirs, ours].iter().any(|answer| answer.order.as_deref() == Some("per unit"));
    let lines = |answer: &Answer| {
        let mut lines: Vec<_> = answer.messages.iter().map(|message| (message, line(message))).collect();
        if per_unit {
            // Units side by side log in any order.
            lines.sort_by(|(a, _), (b, _)| a.unit.cmp(&b.unit));
        }
        lines.into_iter().map(|(message, line)| (message.t_ms, message.msg.clone(), line)).collect::<Vec<_>>()
    };
    let (theirs_said, ours_said) = (lines(theirs), lines(ours));
    for index in 0..theirs_said.len().max(ours_said.len()) {
        match (theirs_said.get(index), ours_said.get(index)) {
            (Some((theirs, _, line)), Some((ours, msg, mine))) if line == mine => {
                if !theirs.near(*ours, TOLERANCE_MS) {
                    wrong.push(Difference {
                        kind: Kind::Moment,
                        subject: msg.clone(),
                        text: format!("message {index} at {ours} ms, not {theirs}: {mine}"),
                    });
                }
            }
            (theirs, ours) => {
                let whole =
                    |said: Option<&(_, String, String)>| said.map_or("nothing".to_owned(), |(.., line)| line.clone());
                let words = |said: Option<&(_, String, String)>| said.map_or(String::new(), |(_, msg, _)| msg.clone());
                wrong.push(Difference {
                    kind: Kind::Message,
                    subject: format!("{} | {}", words(theirs), words(ours)),
                    text: format!("message {index}: {}\n            not {}", whole(ours), whole(theirs)),
                });
                break;
            }
        }
    }
    let children = |answer: &Answer| {
        let mut said: Vec<String> = answer.child_messages.iter().map(child_line).collect();
        said.sort_unstable();
        said.dedup();
        said
    };
    let (theirs, ours) = (children(theirs), children(ours));
    if theirs != ours {
        wrong.push(Difference {
            kind: Kind::Children,
            subject: String::new(),
            text: format!("children said {ours:?}, not {theirs:?}"),
        });
    }
}

/// The command line printed and returned the same, and ended at the same time.
pub fn compare_command(line: &str, theirs: &Ended, ours: &Ended, wrong: &mut Vec<Difference>) {
    let mut differs = |kind, text| wrong.push(Difference { kind, subject: line.to_owned(), text });
    let (theirs_end, ours_end) = match (theirs.rc.zip(theirs.end_ms), ours.rc.zip(ours.end_ms)) {
        // A command that the recording did not see the end of, either.
        (None, None) => return,
        (Some((_, end)), None) => {
            return differs(Kind::Code, format!("{line}: does not end, was recorded to end at {end}"));
        }
        (None, Some((_, end))) => {
            return differs(Kind::Code, format!("{line}: ends at {end} ms, was not recorded to end"));
        }
        (Some((theirs, end)), Some((ours, ended))) => {
            if theirs != ours {
                differs(Kind::Code, format!("{line}: exit code {ours}, not {theirs}"));
            }
            (end, ended)
        }
    };
    for (theirs, ours) in [(&theirs.out, &ours.out), (&theirs.err, &ours.err)] {
        // Those of a recording are normal but for the blanks of JSON.
        let (theirs, ours) = (visible(line, theirs), visible(line, ours));
        if ours.trim_end() != theirs.trim_end() {
            let verb = line.split(" -p ").next().unwrap_or(line);
            let text = format!("{verb}: (- we, + systemd)\n{}", differing_lines(&ours, &theirs));
            differs(Kind::Output, text);
        }
    }
    if !theirs_end.near(ours_end, TOLERANCE_MS) {
        differs(Kind::End, format!("{line}: ends at {ours_end} ms, not {theirs_end}"));
    }
}

/// What a command printed as it is compared.
pub(super) fn visible(line: &str, text: &str) -> String {
    normal::printed(line, &text.replace(DIR, "@DIR@"))
}

/// A message in one line, without its moment.
pub fn line(message: &Message) -> String {
    let about = message.unit.as_ref().map_or(String::new(), |unit| format!(" [{unit}]"));
    let id = message.id.as_deref().unwrap_or("-");
    let fields: Vec<String> = message
        .fields
        .iter()
        .filter(|(name, _)| !NOT_COMPARED.contains(&name.as_str()))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    format!("<{}>{about} #{} {} {id} {}", message.prio, message.inv, message.msg, fields.join(" "))
}

fn child_line(message: &Message) -> String {
    let about = message.unit.as_ref().map_or(String::new(), |unit| format!(" [{unit}]"));
    format!("<{}>{about} {} {}", message.prio, message.msg, message.id.as_deref().unwrap_or("-"))
}

/// The lines of which only one side has as many.
fn differing_lines(ours: &str, theirs: &str) -> String {
    let mut out = String::new();
    for (sign, these, those) in [('-', ours, theirs), ('+', theirs, ours)] {
        let mut those: Vec<&str> = those.lines().collect();
        for line in these.lines() {
            match those.iter().position(|other| *other == line) {
                Some(at) => _ = those.remove(at),
                None => out.push_str(&format!("{sign} {line}\n")),
            }
        }
    }
    if out.is_empty() {
        out.push_str("the same lines in another order");
    }
    out
}
