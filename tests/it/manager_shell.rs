//! Programs of the model from what looks like shell scripts, so that tests read like unit files.
//!
//! Statements end at `;`, `&` or a newline. Known are `sleep`, `exit`, `exec sleep`, `kill -SIG $$`, `trap`, `wait`,
//! `( … ) &`, the endless `while :; do sleep N & wait $!; done`, and, for what a shell alone cannot do, `bind PORT`
//! (exits with 1 if the port is taken), `notify TEXT`, `write PATH`, `accept`, `ownpid PATH`, `pidfile PATH` (of the last
//! child), `dump` (core) and `serve`.

use std::collections::BTreeMap;

use relapse::manager::{ExecFailure, Exit, Spawn};
use relapse::time::Span;
use relapse::unit::{Errno, signal};
use relapse::world::{Act, Launch, Program, Reaction};

const SIGINT: i32 = 2;

/// `/bin/sh` with this script; `short`: given with `-c`, where the last command replaces the shell.
pub(crate) fn shell(script: &str, short: bool) -> Program {
    let mut parser = Parser { acts: Vec::new(), reactions: BTreeMap::new() };
    parser.parse(script.trim(), short);
    Program { comm: "sh".into(), acts: parser.acts, reactions: parser.reactions }
}

/// `sleep 1.5`
pub(crate) fn sleep(time: &str) -> Program {
    Program::ends("sleep", span(time), Exit::Code(0))
}

fn span(text: &str) -> Span {
    Span::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// What a command line of a unit becomes: programs that every machine has, and shell scripts.
pub(crate) fn launch(spawn: &Spawn) -> Launch {
    let fails = |errno| Launch::Fails(ExecFailure::Exec(errno));
    let exits = |comm: &str, code| Launch::Runs(Program::ends(comm, Span::ZERO, Exit::Code(code)));
    if let Some((directory, missing_ok)) = &spawn.program.working_directory {
        match directory.as_str() {
            "/etc/passwd" => return Launch::Fails(ExecFailure::Chdir(Errno::ENOTDIR)),
            path if path.starts_with("/nonexistent") && !missing_ok => {
                return Launch::Fails(ExecFailure::Chdir(Errno::ENOENT));
            }
            _ => {}
        }
    }
    match (spawn.program.path.as_str(), spawn.argv.get(1).map(String::as_str)) {
        ("/bin/true", _) => exits("true", 0),
        ("/bin/false", _) => exits("false", 1),
        // The programs of the cases take what it sends without a change.
        ("/bin/kill", Some("-HUP")) => exits("kill", 0),
        ("/bin/sleep", Some(time)) => Launch::Runs(sleep(time)),
        ("/bin/sh", Some("-c")) => Launch::Runs(shell(&spawn.argv[2], true)),
        ("/usr/bin", _) => fails(Errno::EISDIR),
        ("/etc/passwd", _) => fails(Errno::EACCES),
        _ => fails(Errno::ENOENT),
    }
}

struct Parser {
    acts: Vec<Act>,
    reactions: BTreeMap<i32, Reaction>,
}

impl Parser {
    fn parse(&mut self, script: &str, short: bool) {
        let mut rest = script;
        while !rest.is_empty() {
            if let Some(body) = rest.strip_prefix("while :; do ") {
                let (body, after) = body.split_once("; done").expect("a loop ends with done");
                let start = self.acts.len();
                let time = body.split_whitespace().nth(1).expect("sleep N");
                self.acts.extend([Act::Fork(Box::new(background(sleep(time)))), Act::Wait, Act::Again(start)]);
                rest = after.trim_start_matches([';', ' ', '\n']);
            } else if let Some(body) = rest.strip_prefix('(') {
                let (body, after) = body.split_once(')').expect("a group ends with a parenthesis");
                self.acts.push(Act::Fork(Box::new(background(shell(body, false)))));
                rest = after.trim_start_matches([' ', '&', '\n']);
            } else if let Some(trap) = rest.strip_prefix("trap ") {
                let quote = trap.chars().next().expect("a trap has a body");
                let (body, after) = trap[1..].split_once(quote).expect("a quoted body");
                let (name, after) = after.trim_start().split_once([';', '\n']).unwrap_or((after, ""));
                let reaction = match body {
                    "" => Reaction::Ignore,
                    body => Reaction::Do(shell(body, false).acts),
                };
                self.reactions.insert(signal::from_name(name.trim()).expect("a signal"), reaction);
                rest = after.trim_start();
            } else {
                let end = rest.find([';', '&', '\n']).unwrap_or(rest.len());
                let (statement, after) = (rest[..end].trim(), &rest[end..]);
                let in_background = after.starts_with('&');
                rest = after.trim_start_matches([';', '&', ' ', '\n']);
                self.statement(statement, in_background, short && rest.is_empty() && self.acts.is_empty());
            }
        }
    }

    fn statement(&mut self, statement: &str, in_background: bool, alone: bool) {
        let words: Vec<&str> = statement.split_whitespace().collect();
        match words.as_slice() {
            // What is appended to a file concerns nobody.
            [] | [":"] | ["echo", _, ">>", _] => {}
            ["sleep", time] if alone => self.acts.push(Act::Exec(Box::new(sleep(time)))),
            ["sleep", time] if in_background => self.acts.push(Act::Fork(Box::new(background(sleep(time))))),
            ["sleep", time] => self.acts.extend([Act::Fork(Box::new(sleep(time))), Act::Wait]),
            ["exec", "sleep", time] => self.acts.push(Act::Exec(Box::new(sleep(time)))),
            ["exit", code] => {
                let code: u32 = code.parse().unwrap_or_else(|_| panic!("{statement}"));
                self.acts.push(Act::End(Exit::Code((code & 255) as u8)));
            }
            ["kill", name, "$$"] => {
                self.acts.push(Act::Raise(signal::from_name(&name[1..]).unwrap_or_else(|| panic!("{statement}"))));
            }
            ["dump"] => self.acts.push(Act::End(Exit::Dumped(6))),
            ["wait"] => self.acts.push(Act::Wait),
            ["accept"] => self.acts.push(Act::Accept),
            ["serve"] => self.acts.push(Act::Serve),
            ["bind", port] => {
                let port = port.parse().unwrap_or_else(|_| panic!("{statement}"));
                self.acts.push(Act::Bind { port, or: Exit::Code(1) });
            }
            ["notify", text @ ..] => self.acts.push(Act::Notify(text.join("\n"))),
            ["write", path] => self.acts.push(Act::Write { path: (*path).to_owned(), content: b"x\n".to_vec() }),
            ["ownpid", path] => self.acts.push(Act::WritePid { path: (*path).to_owned(), child: false }),
            ["pidfile", path] => self.acts.push(Act::WritePid { path: (*path).to_owned(), child: true }),
            _ => panic!("the shell of the tests does not know: {statement}"),
        }
    }
}

/// What a shell starts in the background ignores Ctrl-C.
fn background(program: Program) -> Program {
    program.on(SIGINT, Reaction::Ignore)
}
