//! A difference for people: the case, and what the two managers did, side by side.

use super::case::{Act, Answer, Case};
use super::compare::{line, visible};
use super::session::Differs;

/// Width of a column.
const WIDTH: usize = 76;

/// The case's files and commands, then two columns: systemd, and the embedded manager. `≠` marks what differs.
pub fn two_columns(case: &Case, differs: &Differs) -> String {
    let mut out = format!("{} ({})\n", case.id, case.family);
    let mut file = |name: &str, text: &str| {
        out += &format!("--- {name}\n");
        text.trim_end().lines().for_each(|line| out += &format!("    {line}\n"));
    };
    file(&case.own(), &case.unit);
    for (name, text) in &case.dropins {
        file(&format!("{}.d/{name}", case.own()), text);
    }
    for (name, text) in case.units.iter().chain(&case.programs) {
        file(name, text);
    }
    if case.unit.contains("prog.sh") {
        file("prog.sh", &case.prog);
    }
    out += "--- commands\n";
    for action in &case.actions {
        let what = match &action.act {
            Act::Enter { cmd } => cmd.clone(),
            Act::Write { write, text } => format!("(writes {write}: {text:?})"),
        };
        out += &format!("    {:>6} ms  {what}\n", action.t.as_micros() / 1000);
    }
    out += "--- differences\n";
    differs.wrong.iter().for_each(|wrong| out += &format!("    {}\n", wrong.text.trim_end().replace('\n', "\n    ")));
    let Some(ours) = &differs.ours else { return out };
    out += &row(' ', &differs.version, "relapse, embedded manager");
    for (same, theirs, ours) in align(&story(case, &differs.theirs), &story(case, ours)) {
        out += &row(if same { ' ' } else { '≠' }, &theirs, &ours);
    }
    out
}

fn row(mark: char, left: &str, right: &str) -> String {
    let (left, right) = (folded(left), folded(right));
    let mut out = String::new();
    for index in 0..left.len().max(right.len()) {
        let cell = |cells: &[String]| cells.get(index).cloned().unwrap_or_default();
        let (left, right) = (cell(&left), cell(&right));
        let pad = " ".repeat(WIDTH.saturating_sub(left.chars().count()));
        out += format!("{mark} {left}{pad} │ {right}").trim_end();
        out.push('\n');
    }
    out
}

fn folded(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(WIDTH).map(|chunk| chunk.iter().collect()).collect()
}

/// What is compared, line by line: a key, and the line with its moment.
fn story(case: &Case, answer: &Answer) -> Vec<(String, String)> {
    let mut story: Vec<(String, String)> = answer
        .messages
        .iter()
        .map(|message| {
            let line = line(message);
            (line.clone(), format!("{:>6} {line}", message.t_ms.0))
        })
        .collect();
    let mut add = |text: String| story.push((text.clone(), format!("       {text}")));
    answer.child_messages.iter().for_each(|message| add(format!("child: {}", line(message))));
    for (action, ended) in case.actions.iter().zip(&answer.commands).filter(|(action, _)| !action.line().is_empty()) {
        let code = ended.rc.map_or_else(|| "does not end".to_owned(), |code| format!("? {code}"));
        add(format!("$ {} {code}", action.line().split(" -p ").next().unwrap_or_default()));
        for text in [&ended.out, &ended.err] {
            visible(action.line(), text).trim_end().lines().for_each(|line| add(format!("  {line}")));
        }
    }
    add(format!("runs: {}", answer.runs));
    story
}

/// Both, with what is the same in one row (the longest common subsequence).
fn align(theirs: &[(String, String)], ours: &[(String, String)]) -> Vec<(bool, String, String)> {
    let (rows, columns) = (theirs.len(), ours.len());
    let mut longest = vec![vec![0u32; columns + 1]; rows + 1];
    for i in (0..rows).rev() {
        for j in (0..columns).rev() {
            longest[i][j] = match theirs[i].0 == ours[j].0 {
                true => longest[i + 1][j + 1] + 1,
                false => longest[i + 1][j].max(longest[i][j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut out = Vec::new();
    while i < rows || j < columns {
        if i < rows && j < columns && theirs[i].0 == ours[j].0 {
            out.push((true, theirs[i].1.clone(), ours[j].1.clone()));
            (i, j) = (i + 1, j + 1);
        } else if j == columns || i < rows && longest[i + 1][j] >= longest[i][j + 1] {
            out.push((false, theirs[i].1.clone(), String::new()));
            i += 1;
        } else {
            out.push((false, String::new(), ours[j].1.clone()));
            j += 1;
        }
    }
    out
}
