//! Commands that kill, and whom; processes that nobody kills.

use regex::RegexBuilder;

use super::program::{Command, Workers};
use super::rules::{self, Severity};
use super::sheet::{Line, Sheet};
use super::shell::{Joint, Role, Simple};
use super::{Spot, rules::Rule};
use crate::unit::KillMode;

pub(super) fn look(sheet: &mut Sheet<'_>) {
    let lines = sheet.lines.clone();
    let main = sheet.main_line().map(|line| line.command.argv.join(" "));
    let user =
        sheet.service().and_then(|service| service.user.clone()).filter(|user| !matches!(user.as_str(), "root" | "0"));
    for line in &lines {
        if !own_shell(sheet, line) && !service_itself(sheet, line, main.as_deref()) && line.key == "ExecStartPre" {
            blindly(sheet, line, user.as_deref());
        }
    }
    kill_mode(sheet);
}

/// `pkill` or `pgrep` with what it looks for.
struct Pattern {
    name: String,
    text: String,
    full: bool,
    exact: bool,
    any_case: bool,
    /// Only processes of some user, parent, terminal, age …
    narrowed: bool,
    /// A signal was given; `0` only asks.
    signal: Option<String>,
}

/// Longer patterns are not tried.
const LONGEST: usize = 1_000;

impl Pattern {
    fn of(simple: &Simple) -> Option<Pattern> {
        let name = simple.name();
        if !matches!(name, "pkill" | "pgrep") {
            return None;
        }
        let mut pattern = Pattern {
            name: name.to_owned(),
            text: String::new(),
            full: false,
            exact: false,
            any_case: false,
            narrowed: false,
            signal: None,
        };
        let mut words = simple.words.iter().skip(1);
        while let Some(word) = words.next() {
            let Some(options) = word.text.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
                if !word.plain || !pattern.text.is_empty() || word.text.len() > LONGEST {
                    return None;
                }
                pattern.text.clone_from(&word.text);
                continue;
            };
            match options {
                "-" => {}
                "-full" => pattern.full = true,
                "-exact" => pattern.exact = true,
                "-ignore-case" => pattern.any_case = true,
                "-signal" => pattern.signal = Some(words.next()?.text.clone()),
                "-echo" | "-count" | "-list-name" | "-list-full" => {}
                long if long.starts_with('-') => match long.strip_prefix("-signal=") {
                    Some(signal) => pattern.signal = Some(signal.to_owned()),
                    None => return None,
                },
                signal if crate::unit::signal::from_name(signal).is_some() || signal == "0" => {
                    pattern.signal = Some(signal.to_owned());
                }
                short => {
                    for (at, option) in short.char_indices() {
                        match option {
                            'f' => pattern.full = true,
                            'x' => pattern.exact = true,
                            'i' => pattern.any_case = true,
                            'e' | 'c' | 'l' | 'a' | 'w' => {}
                            'n' | 'o' | 'v' => pattern.narrowed = true,
                            'd' | 'P' | 'g' | 'G' | 's' | 't' | 'u' | 'U' | 'F' | 'r' => {
                                pattern.narrowed |= option != 'd';
                                if at + 1 == short.len() {
                                    words.next()?;
                                }
                                break;
                            }
                            _ => return None,
                        }
                    }
                }
            }
        }
        (!pattern.text.is_empty()).then_some(pattern)
    }

    /// Whether it certainly finds a process with this command line.
    fn finds(&self, command_line: &str) -> bool {
        let text = if self.exact { format!("^(?:{})$", self.text) } else { self.text.clone() };
        let regex = RegexBuilder::new(&text).case_insensitive(self.any_case).size_limit(1 << 20).build();
        self.full && !self.narrowed && regex.is_ok_and(|regex| regex.is_match(command_line))
    }

    fn asks(&self) -> bool {
        self.name == "pgrep" || self.signal.as_deref() == Some("0")
    }

    /// The same, but for a first letter in brackets.
    fn disguised(&self) -> Option<String> {
        let first = self.text.chars().next().filter(|c| c.is_alphanumeric())?;
        Some(format!("[{first}]{}", &self.text[first.len_utf8()..]))
    }
}

fn own_shell(sheet: &mut Sheet<'_>, line: &Line) -> bool {
    let Some(script) = line.command.script.as_ref().filter(|script| !script.odd) else { return false };
    let shell = line.command.shell.join(" ");
    let own = script.commands.iter().filter(|simple| !simple.substituted).count();
    for (index, simple) in script.commands.iter().enumerate() {
        let Some(pattern) = Pattern::of(simple) else { continue };
        // A shell may become its last command, and then there is no shell.
        let before = script.commands.iter().take(index + 1).filter(|simple| !simple.substituted).count();
        let stays = simple.substituted
            || matches!(simple.role, Role::LoopCondition | Role::LoopBody | Role::ForBody | Role::IfCondition)
            || (simple.after != Joint::End && before < own);
        if !stays || !pattern.finds(&shell) {
            continue;
        }
        let rule: &'static Rule = if pattern.asks() { &rules::PGREP_SELF } else { &rules::PKILL_SELF };
        let what = if pattern.asks() {
            "so it always finds one, whether or not the program runs"
        } else {
            "so the shell is killed, and what follows in it is never run"
        };
        let message =
            format!("/{}/ matches the command line of the shell that runs it ({}), {what}", pattern.text, cut(&shell));
        let fix = pattern.disguised().map(|text| format!("{} -f '{text}'", pattern.name));
        sheet.found(rule, line.spot.clone(), message, "matches its own shell", fix);
        return true;
    }
    false
}

fn cut(text: &str) -> String {
    const LONGEST: usize = 80;
    let short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

/// The simple commands of a line.
fn simples(command: &Command) -> Vec<Simple> {
    match &command.script {
        Some(script) if script.odd => Vec::new(),
        Some(script) => script.commands.clone(),
        None => {
            let word = |text: &String| super::shell::Word { text: text.clone(), plain: true };
            vec![Simple {
                words: command.program.iter().map(word).collect(),
                negated: false,
                before: Joint::End,
                after: Joint::End,
                role: Role::Plain,
                looped: false,
                substituted: false,
            }]
        }
    }
}

fn service_itself(sheet: &mut Sheet<'_>, line: &Line, main: Option<&str>) -> bool {
    let Some(main) = main else { return false };
    if matches!(line.key, "ExecStart" | "ExecStop") {
        return false;
    }
    for simple in simples(&line.command) {
        let Some(pattern) = Pattern::of(&simple).filter(|pattern| !pattern.asks()) else { continue };
        if !pattern.finds(main) {
            continue;
        }
        let running = matches!(line.key, "ExecStartPost" | "ExecReload" | "ExecReloadPost");
        // A reload by a signal is what ExecReload= is for.
        if running && pattern.signal.is_some() {
            continue;
        }
        let (what, severity) = if running {
            ("the service itself, which has just been started", Severity::Error)
        } else {
            ("whatever was started by hand with the same command", Severity::Warning)
        };
        let message = format!(
            "/{}/ matches the command line of this service ({}): {}= kills {what}",
            pattern.text,
            cut(main),
            line.key
        );
        sheet.add(
            &rules::PKILL_SERVICE,
            severity,
            line.spot.clone(),
            message,
            "matches the service's own command",
            None,
        );
        return true;
    }
    false
}

fn blindly(sheet: &mut Sheet<'_>, line: &Line, user: Option<&str>) {
    let all = simples(&line.command);
    let asks_who = |simple: &Simple| matches!(simple.name(), "lsof" | "fuser" | "ss" | "netstat" | "pgrep" | "pidof");
    let who = all.iter().any(asks_who);
    let killer = all.iter().find(|simple| {
        let has = |words: &[&str]| simple.words.iter().any(|word| words.contains(&word.text.as_str()));
        match simple.name() {
            "fuser" => has(&["-k", "--kill"]) || simple.words.iter().any(|word| word.text.starts_with("-k")),
            "killall" | "pkill" => !has(&["-0"]),
            "kill" => who,
            "xargs" => who && has(&["kill"]),
            _ => false,
        }
    });
    let Some(killer) = killer else { return };
    let mut message =
        format!("{} kills whoever it finds, at every start, in the middle of what he does", killer.name());
    if let Some(user) = user.filter(|_| !line.privileged && !line.command.argv.iter().any(|word| word == "sudo")) {
        message.push_str(&format!(
            "; and as User={user} it may kill processes of {user} only: one of another user keeps the port, and the start fails all the same"
        ));
    }
    sheet.found(&rules::BLIND_KILL, line.spot.clone(), message, "kills blindly", None);
}

fn kill_mode(sheet: &mut Sheet<'_>) {
    let Some(mode) = sheet.service().map(|service| service.kill_mode) else { return };
    if !matches!(mode, KillMode::Process | KillMode::None) {
        return;
    }
    // systemd has its own remark about `none`.
    let rows: Vec<(usize, u32)> = sheet
        .assignments()
        .filter(|(_, item)| item.key == "KillMode" && item.value == "none")
        .map(|(file, item)| (file, item.line))
        .collect();
    for (file, line) in rows {
        sheet.explain(file, line);
    }
    let spot = sheet
        .assignments()
        .rev()
        .find(|(_, item)| item.section == "Service" && item.key == "KillMode" && item.value == mode.as_str())
        .map(|(file, item)| Spot { file, span: item.span() });
    let Some(spot) = spot else { return };
    let children = sheet.main_line().and_then(|line| children(&line.command));
    let (message, severity) = match (mode, children) {
        (KillMode::None, _) => (
            "with KillMode=none a stop kills nobody: the program goes on and keeps its port, and the next start finds it taken; systemd warns that this is \
             deprecated"
                .to_owned(),
            Severity::Warning,
        ),
        (_, Some(who)) => (
            format!("with KillMode=process {who} outlive the main process and keep its listening socket: the next start finds the port taken"),
            Severity::Warning,
        ),
        (_, None) => (
            "with KillMode=process children of the main process outlive it; one that has inherited the listening socket keeps the port".to_owned(),
            Severity::Note,
        ),
    };
    sheet.add(&rules::KILL_MODE, severity, spot, message, "leaves processes behind", Some("KillMode=mixed".to_owned()));
}

/// The processes that a command certainly has beside the main one.
fn children(command: &Command) -> Option<String> {
    if let Some(wrapper) = command.wrappers.iter().find(|wrapper| wrapper.stays) {
        return Some(format!("the children of {}", wrapper.name));
    }
    let known = command.known?;
    let workers = match known.workers {
        Workers::No => false,
        Workers::Always => true,
        Workers::With(options) => command.has(options),
    };
    workers.then(|| format!("the workers of {}", known.name))
}
