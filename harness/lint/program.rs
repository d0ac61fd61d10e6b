//! Which program a command comes down to, behind `env`, `sudo`, `flock`, `sh -c` and the like, and what is known of it.

use super::shell::{Joint, Script, base};

/// What is known of a program, as facts that its text or its runs show.
#[derive(Debug)]
pub(super) struct Known {
    /// What it is called.
    pub name: &'static str,
    /// Exit codes with which it ends when its port is taken, and when it does so.
    pub bind_errors: &'static [(u8, &'static str)],
    /// Whether it says READY=1 (sd_notify(3)) by itself.
    pub notifies: Notifies,
    /// Whether it leaves a daemon behind and ends.
    pub forks: Forks,
    /// Whether it runs workers that inherit its listening socket.
    pub workers: Workers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notifies {
    Never,
    /// What it runs may do so itself.
    Perhaps,
    Always,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forks {
    Never,
    /// With one of these arguments.
    With(&'static [&'static str]),
    /// It depends on files that nobody sees here.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Workers {
    No,
    Always,
    /// With one of these options.
    With(&'static [&'static str]),
}

/// uvicorn's codes were run (0.23 to 0.54); Python's, Node's and PHP's follow from an exception that nobody catches; the
/// others' are what their sources say, and were not run: they end so after their last attempt to bind.
const KNOWN: &[Known] = &[
    Known {
        name: "uvicorn",
        bind_errors: &[(1, "up to 0.48"), (3, "from 0.50 on")],
        notifies: Notifies::Never,
        forks: Forks::Never,
        workers: Workers::With(&["--workers", "--reload"]),
    },
    Known {
        name: "gunicorn",
        bind_errors: &[(1, "")],
        notifies: Notifies::Always,
        forks: Forks::With(&["--daemon", "-D"]),
        workers: Workers::Always,
    },
    Known {
        name: "node",
        bind_errors: &[(1, "if the script does not handle it")],
        notifies: Notifies::Perhaps,
        forks: Forks::Never,
        workers: Workers::No,
    },
    Known {
        name: "nginx",
        bind_errors: &[(1, "")],
        notifies: Notifies::Never,
        forks: Forks::Unknown,
        workers: Workers::Always,
    },
    Known {
        name: "python -m http.server",
        bind_errors: &[(1, "")],
        notifies: Notifies::Never,
        forks: Forks::Never,
        workers: Workers::No,
    },
    Known {
        name: "flask run",
        bind_errors: &[(1, "")],
        notifies: Notifies::Perhaps,
        forks: Forks::Never,
        workers: Workers::No,
    },
    Known {
        name: "php -S",
        bind_errors: &[(1, "")],
        notifies: Notifies::Never,
        forks: Forks::Never,
        workers: Workers::No,
    },
    Known {
        name: "redis-server",
        bind_errors: &[(1, "")],
        notifies: Notifies::Perhaps,
        forks: Forks::With(&["--daemonize"]),
        workers: Workers::No,
    },
    Known { name: "sleep", bind_errors: &[], notifies: Notifies::Never, forks: Forks::Never, workers: Workers::No },
];

/// What stands between systemd and the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrapper {
    pub name: String,
    /// Whether it stays and the program is its child.
    pub stays: bool,
}

/// A command and what it comes down to.
#[derive(Clone, Debug, Default)]
pub(super) struct Command {
    /// As it is executed, variables expanded where the unit says what they are.
    pub argv: Vec<String>,
    pub wrappers: Vec<Wrapper>,
    /// argv of the innermost program that is known; `argv` without its wrappers else.
    pub program: Vec<String>,
    pub known: Option<&'static Known>,
    /// The script of the outermost `sh -c`.
    pub script: Option<Script>,
    /// argv of that shell.
    pub shell: Vec<String>,
}

/// No command has more wrappers around it.
const DEEPEST: usize = 8;

/// Wrappers: their short options that take a word, the long ones that do, words of their own before the program, whether
/// they stay its parent.
type Row = (&'static str, &'static str, &'static [&'static str], usize, bool);
const WRAPPERS: &[Row] = &[
    ("nice", "n", &["--adjustment"], 0, false),
    ("ionice", "cnpPu", &["--class", "--classdata"], 0, false),
    ("nohup", "", &[], 0, false),
    ("setsid", "", &[], 0, false),
    ("stdbuf", "ioe", &["--input", "--output", "--error"], 0, false),
    ("chrt", "TPD", &[], 1, false),
    ("taskset", "", &[], 1, false),
    ("setpriv", "", &["--reuid", "--regid", "--groups"], 0, false),
    ("chpst", "ueopmdfctr", &[], 0, false),
    ("timeout", "ks", &["--kill-after", "--signal"], 1, true),
    ("sudo", "ughpCDRTtr", &["--user", "--group", "--host", "--prompt", "--chdir", "--chroot"], 0, true),
    ("runuser", "ugGw", &["--user", "--group", "--supp-group", "--whitelist-environment"], 0, true),
    ("flock", "wE", &["--wait", "--timeout", "--conflict-exit-code"], 1, true),
    ("dumb-init", "r", &["--rewrite"], 0, true),
    ("tini", "pe", &[], 0, true),
    ("catatonit", "", &[], 0, true),
    ("systemd-cat", "tp", &["--identifier", "--priority", "--stderr-priority", "--level-prefix"], 0, false),
    ("exec", "a", &[], 0, false),
];

pub(super) const SHELLS: &[&str] = &["sh", "bash", "dash", "ash", "zsh", "ksh", "mksh"];

/// The text that `sh -c` is given.
pub(super) fn shell_text(argv: &[String]) -> Option<&str> {
    if !SHELLS.contains(&base(argv.first()?)) {
        return None;
    }
    let mut words = argv[1..].iter();
    while let Some(word) = words.next() {
        let options = word.strip_prefix(['-', '+'])?;
        if options.starts_with('-') {
            continue;
        }
        if options.contains('c') {
            // Options may come between; `-o` takes a word.
            return words.find(|word| !word.starts_with(['-', '+'])).map(String::as_str);
        }
        if options.contains('o') {
            words.next();
        }
    }
    None
}

impl Command {
    pub(super) fn of(argv: Vec<String>) -> Command {
        let mut command = Command { program: argv.clone(), argv, ..Command::default() };
        for _ in 0..DEEPEST {
            if !command.peel() {
                break;
            }
        }
        command.known = known(&command.program);
        command
    }

    pub(super) fn name(&self) -> &str {
        self.program.first().map_or("", |path| base(path))
    }

    /// Whether one of these words is among the program's arguments, alone or as `--option=value`.
    pub(super) fn has(&self, options: &[&str]) -> bool {
        self.program.iter().skip(1).any(|word| {
            options
                .iter()
                .any(|option| word == option || word.strip_prefix(option).is_some_and(|rest| rest.starts_with('=')))
        })
    }

    /// The value of an option of the program.
    pub(super) fn option(&self, names: &[&str]) -> Option<&str> {
        let mut words = self.program.iter().skip(1);
        while let Some(word) = words.next() {
            for name in names {
                if word == name {
                    return words.next().map(String::as_str);
                }
                if let Some(value) = word.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')) {
                    return Some(value);
                }
            }
        }
        None
    }

    /// Takes one wrapper off.
    fn peel(&mut self) -> bool {
        let name = self.name().to_owned();
        if let Some(text) = shell_text(&self.program) {
            let text = text.to_owned();
            let script = Script::read(&text);
            let inner = inner_of(&script);
            if self.script.is_none() {
                self.script = Some(script);
                self.shell.clone_from(&self.program);
            }
            let Some((argv, stays)) = inner else { return false };
            self.wrappers.push(Wrapper { name, stays });
            self.program = argv;
            return true;
        }
        if name == "env" {
            let Some(rest) = env(&self.program) else { return false };
            self.wrappers.push(Wrapper { name, stays: false });
            self.program = rest;
            return true;
        }
        let Some(row) = WRAPPERS.iter().find(|row| row.0 == name) else { return false };
        let Some((rest, stays)) = unwrapped(&self.program, row) else { return false };
        self.wrappers.push(Wrapper { name, stays });
        self.program = rest;
        true
    }
}

/// The program that a script is there for, and whether the shell stays beside it.
fn inner_of(script: &Script) -> Option<(Vec<String>, bool)> {
    if script.odd {
        return None;
    }
    let all = &script.commands;
    let own: Vec<_> = all.iter().filter(|simple| !simple.substituted && simple.name() != "cd").collect();
    match own.as_slice() {
        // A shell that has one command to run becomes it.
        [only] if !only.looped && !only.negated => {
            Some((only.texts(), only.after != Joint::End || (all.len() > 1 && only.name() != "exec")))
        }
        many => {
            let found = many.iter().find(|simple| known(&Command::of_simple(simple.texts()).program).is_some())?;
            let last = many.last().is_some_and(|last| std::ptr::eq(*last, *found)) && found.name() == "exec";
            Some((found.texts(), !last))
        }
    }
}

impl Command {
    /// A command of a script, without looking into further scripts.
    fn of_simple(argv: Vec<String>) -> Command {
        let mut command = Command { program: argv.clone(), argv, ..Command::default() };
        for _ in 0..DEEPEST {
            if shell_text(&command.program).is_some() || !command.peel() {
                break;
            }
        }
        command
    }
}

fn env(argv: &[String]) -> Option<Vec<String>> {
    let mut words = argv.iter().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "-i" | "-" | "--ignore-environment" | "-v" | "--debug" => {}
            "-u" | "--unset" | "-C" | "--chdir" => drop(words.next()?),
            "-S" | "--split-string" => {
                let text = words.next()?;
                return Some(text.split_ascii_whitespace().map(str::to_owned).chain(words.cloned()).collect());
            }
            word if word.starts_with("--") => {}
            word if word.starts_with('-') => return None,
            word if word.contains('=') => {}
            word => return Some(std::iter::once(word.to_owned()).chain(words.cloned()).collect()),
        }
    }
    None
}

/// What a wrapper runs, and whether it stays its parent.
fn unwrapped(argv: &[String], (name, short, long, own, stays): &Row) -> Option<(Vec<String>, bool)> {
    let mut stays = *stays;
    let mut own = *own;
    let mut words = argv.iter().skip(1);
    while let Some(word) = words.next() {
        if word == "--" {
            continue;
        }
        if *name == "sudo" && word.contains('=') && !word.starts_with('-') {
            continue;
        }
        if *name == "flock" && own == 0 && (word == "-c" || word == "--command") {
            let text = words.next()?;
            return Some((vec!["sh".to_owned(), "-c".to_owned(), text.clone()], stays));
        }
        if word.starts_with("--") {
            if *name == "flock" && word == "--no-fork" {
                stays = false;
            }
            if long.contains(&word.as_str()) {
                words.next()?;
            }
            continue;
        }
        if let Some(options) = word.strip_prefix('-').filter(|options| !options.is_empty()) {
            if *name == "flock" && options.contains('F') {
                stays = false;
            }
            if *name == "setsid" && options.contains('f') {
                return None;
            }
            // `-n 5`, but not `-n5`.
            let last = options.chars().last();
            if last.is_some_and(|last| short.contains(last))
                && !options.chars().next().is_some_and(|c| c.is_ascii_digit())
            {
                let first = options.char_indices().find(|(_, c)| short.contains(*c));
                if first.is_some_and(|(at, c)| at + c.len_utf8() == options.len()) {
                    words.next()?;
                }
            }
            continue;
        }
        if own > 0 {
            own -= 1;
            continue;
        }
        return Some((std::iter::once(word.clone()).chain(words.cloned()).collect(), stays));
    }
    None
}

/// What is known of the program of an argv.
fn known(argv: &[String]) -> Option<&'static Known> {
    let name = base(argv.first()?);
    let row = |name: &str| KNOWN.iter().find(|known| known.name == name);
    if name.starts_with("python") || name.starts_with("pypy") {
        return match python(argv)? {
            Python::Module("http.server") => row("python -m http.server"),
            Python::Module(module @ ("uvicorn" | "gunicorn")) => row(module),
            Python::Module("flask") => flask(argv).then(|| row("flask run")).flatten(),
            Python::Module(_) => None,
            Python::Script(path) => match base(path) {
                script @ ("uvicorn" | "gunicorn") => row(script),
                _ => None,
            },
        };
    }
    match name {
        "nodejs" => row("node"),
        "flask" => flask(argv).then(|| row("flask run")).flatten(),
        "php" => argv.iter().any(|word| word == "-S").then(|| row("php -S")).flatten(),
        "python -m http.server" => None,
        name => row(name),
    }
}

fn flask(argv: &[String]) -> bool {
    argv.iter().any(|word| word == "run")
}

enum Python<'a> {
    Module(&'a str),
    Script(&'a str),
}

/// What a Python interpreter is given to run.
fn python(argv: &[String]) -> Option<Python<'_>> {
    let mut words = argv.iter().skip(1);
    while let Some(word) = words.next() {
        let Some(options) = word.strip_prefix('-').filter(|options| !options.is_empty()) else {
            return Some(Python::Script(word));
        };
        if options.starts_with('-') {
            continue;
        }
        // Options may be joined (`-Om`), and the rest of the word may be what one of them takes (`-Wignore`).
        if let Some((at, option)) = options.char_indices().find(|(_, c)| matches!(c, 'm' | 'c' | 'W' | 'X')) {
            let rest = &options[at + 1..];
            let value = if rest.is_empty() { words.next()? } else { rest };
            match option {
                'm' => return Some(Python::Module(value)),
                'c' => return None,
                _ => {}
            }
        }
    }
    None
}
