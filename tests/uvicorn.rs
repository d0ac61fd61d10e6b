//! The stand-in server against the real uvicorn: the same scenario with each of them, on the wall clock, and what they
//! print, log and do to their port, how they end and what the manager says of it must be the same.
//!
//! `RELAPSE_UVICORN` names the interpreters, with colons between them; `fixtures/uvicorn/make-venv.sh` makes environments that
//! have one. Without it every test is ignored, unless `RELAPSE_REQUIRE`, a comma list, has `uvicorn`: then that is a
//! failure, and 0.40 and a version from 0.50 on must be among them.

use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use regex::Regex;
use relapse::expect::Style;
use relapse::timeline::EventKind;
use relapse::{ClockKind, Options, Scenario, Verdict, report};

/// A behaviour: its name, keys of the program block, what is appended to the command line, and what is typed. Everything
/// waits for what it needs to see; the signals are sent by hand.
struct Row {
    name: &'static str,
    keys: &'static str,
    arguments: &'static str,
    typed: &'static str,
}

const fn row(name: &'static str, keys: &'static str, arguments: &'static str, typed: &'static str) -> Row {
    Row { name, keys, arguments, typed }
}

/// `READY`, `BUSY`, `OVER`: waits until the service runs, until it imports, until it has ended; `SEND`: a signal for it.
const ROWS: &[Row] = &[
    row("a_port_that_is_taken", "", "", "$ HOLD\n$ systemctl start app; OVER"),
    row(
        "a_port_that_is_taken_before_the_import",
        "bind = \"before-startup\"",
        "--workers 2",
        "$ HOLD\n$ systemctl start app; OVER",
    ),
    row("a_host_that_is_not_here", "", "--host 192.0.2.1", "$ systemctl start app; OVER"),
    row("term_when_healthy", "", "", "$ systemctl start app; READY\n$ SEND TERM; OVER"),
    row("int_when_healthy", "", "", "$ systemctl start app; READY\n$ SEND INT; OVER"),
    row("kill_when_healthy", "", "", "$ systemctl start app; READY\n$ SEND KILL; OVER"),
    row("hup_when_healthy", "", "", "$ systemctl start app; READY\n$ SEND HUP; OVER"),
    row(
        "term_during_the_import",
        "sigterm-ready-after = \"1ms\"\nstartup = [\"4s\"]\nstartup-cpu = 10",
        "",
        "$ systemctl start app; BUSY; SEND TERM; OVER",
    ),
    row(
        "int_during_the_import",
        "sigterm-ready-after = \"1ms\"\nstartup = [\"4s\"]\nstartup-cpu = 10",
        "",
        "$ systemctl start app; BUSY; SEND INT; OVER",
    ),
    row(
        "kill_during_the_import",
        "startup = [\"4s\"]\nstartup-cpu = 10",
        "",
        "$ systemctl start app; BUSY; SEND KILL; OVER",
    ),
    row(
        "answers",
        "",
        "",
        "$ systemctl start app; READY\n$ curl -s localhost:8000/health; curl -s localhost:8000/nothing\n$ SEND TERM; OVER",
    ),
    row(
        "term_with_half_a_request",
        "",
        "",
        "$ systemctl start app; READY\n\
         $ PYTHON -c 'import socket; c = socket.create_connection((\"127.0.0.1\", 8000)); c.send(b\"GET /health HT\"); c.recv(9)' & \
         until FLIGHT; do sleep 0.05; done; SEND TERM; wait; OVER",
    ),
    row(
        "term_with_a_request_in_flight",
        "answer = \"4s\"",
        "",
        "$ systemctl start app; READY\n$ curl -s localhost:8000/health & until FLIGHT; do sleep 0.05; done; SEND TERM; wait; OVER",
    ),
    row(
        "the_hook_comes_before_the_port",
        "",
        "",
        "$ mkfifo logs/app.log; systemctl start app; until SAYS 'Waiting for application startup'; do sleep 0.05; done\n\
         $ curl -s localhost:8000/health; echo \"refused: $?\"\n\
         $ sleep 300 3<>logs/app.log & READY\n$ curl -s localhost:8000/health; echo \"served: $?\"\n$ SEND TERM; OVER",
    ),
];

fn main() {
    relapse::init();
    let args = Arguments::from_args();
    let required = std::env::var("RELAPSE_REQUIRE").unwrap_or_default().split(',').any(|word| word.trim() == "uvicorn");
    let named = std::env::var_os("RELAPSE_UVICORN").filter(|value| !value.is_empty());
    let Some(named) = named else {
        if required {
            eprintln!("RELAPSE_REQUIRE wants uvicorn, but RELAPSE_UVICORN names no interpreter that has it");
            std::process::exit(1);
        }
        eprintln!("ignored: RELAPSE_UVICORN names no interpreter (fixtures/uvicorn/README.md says how to get one)");
        let ignored =
            ROWS.iter().map(|row| Trial::test(row.name, || Ok(())).with_ignored_flag(true).with_kind("no uvicorn"));
        libtest_mimic::run(&args, ignored.collect()).exit();
    };
    let real: Vec<(PathBuf, String)> = std::env::split_paths(&named)
        .map(|path| {
            let version = version(&path).unwrap_or_else(|why| {
                eprintln!("RELAPSE_UVICORN: {}: {why}", path.display());
                std::process::exit(1);
            });
            (path, version)
        })
        .collect();
    let minors: Vec<u32> = real.iter().filter_map(|(_, version)| version.split('.').nth(1)?.parse().ok()).collect();
    if required && !(minors.contains(&40) && minors.iter().any(|minor| *minor >= 50)) {
        eprintln!("RELAPSE_REQUIRE wants uvicorn: 0.40 and one from 0.50 on, RELAPSE_UVICORN has {minors:?}");
        std::process::exit(1);
    }
    let mut trials = Vec::new();
    for (path, version) in real {
        let (own, tells) = (path.clone(), version.clone());
        trials.push(Trial::test(format!("{version}::the_loop"), move || the_loop(&tells, &own)));
        for row in ROWS {
            let (path, version) = (path.clone(), version.clone());
            trials.push(Trial::test(format!("{version}::{}", row.name), move || compare(row, &version, &path)));
        }
    }
    libtest_mimic::run(&args, trials).exit();
}

fn version(python: &Path) -> Result<String, String> {
    let told =
        std::process::Command::new(python).args(["-c", "import uvicorn, fastapi; print(uvicorn.__version__)"]).output();
    let told = told.map_err(|error| error.to_string())?;
    if !told.status.success() {
        return Err(String::from_utf8_lossy(&told.stderr).trim().to_owned());
    }
    Ok(String::from_utf8_lossy(&told.stdout).trim().to_owned())
}

fn compare(row: &Row, version: &str, python: &Path) -> Result<(), Failed> {
    let document = document(row, version, python);
    let stand_in = play(&document, None)?;
    let real = play(&document, Some(python))?;
    if stand_in == real {
        return Ok(());
    }
    let list = |lines: &[String]| lines.iter().map(|line| format!("    {line}\n")).collect::<String>();
    Err(format!("stand-in:\n{}real:\n{}", list(&stand_in), list(&real)).into())
}

/// The claims about the short loop hold with the real server.
fn the_loop(version: &str, python: &Path) -> Result<(), Failed> {
    let modern = version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok()).is_some_and(|minor| minor >= 50);
    let document = include_str!("../fixtures/uvicorn/loop.md")
        .replace("version = \"0.40\"", &format!("version = \"{version}\""))
        .replace("exit 1,", if modern { "exit 3," } else { "exit 1," });
    let scenario = Scenario::parse("loop.md", &document).map_err(|error| error.render(Style::Plain))?;
    let real = [("uvicorn".to_owned(), python.to_owned())].into();
    let options = Options { clock: ClockKind::Real, real, ..Options::default() };
    let outcome = scenario.run(&options).map_err(|fault| fault.to_string())?;
    if outcome.verdict == Verdict::Holds { Ok(()) } else { Err(report::text(&outcome, Style::Plain).into()) }
}

fn document(row: &Row, version: &str, python: &Path) -> String {
    let wait = |until: &str| format!("until {until}; do sleep 0.05; done");
    let says = |text: &str| format!("journalctl -u app | grep -q \"{text}\"");
    let typed = row
        .typed
        .replace("HOLD", &format!("systemctl start holder; {}", wait("curl -s -o /dev/null localhost:8000/health")))
        .replace("BUSY", &wait("ps -o stat= -p $(systemctl show -P MainPID app) | grep -q R"))
        .replace("READY", &wait(&says("Uvicorn running")))
        .replace("OVER", "while systemctl is-active -q app; do sleep 0.05; done")
        .replace("SEND", "kill $(systemctl show -P MainPID app) -s")
        .replace("PYTHON", &python.to_string_lossy())
        .replace("SAYS", "journalctl -u app | grep -q")
        .replace("FLIGHT", "grep -q \":$(printf %04X 8000) [0-9A-F:]* 01 \" /proc/net/tcp");
    let typed = Regex::new(r"kill (\$\(.*? app\)) -s (\w+)")
        .expect("a pattern")
        .replace_all(&typed, "kill -$2 $1")
        .into_owned();
    let serve = "/home/app/venv/bin/python -m uvicorn src.main:app --host 0.0.0.0 --port 8000";
    let startup = if row.keys.contains("startup = ") { "" } else { "startup = [\"100ms\"]" };
    format!(
        r#"# {name}

```toml scenario
kind = "behaviour"
directory = "/home/app"
ports = [8000]
budget = "2min"
```

```toml program=uvicorn
path = "/home/app/venv/bin/python"
module = "uvicorn"
version = "{version}"
log-file = "/home/app/logs/app.log"
on-start = ["FSM Running session recovery on startup", "FSM Session recovery complete"]
on-shutdown = ["FSM shutdown hook ran"]
{startup}
{keys}
```

```ini unit=app.service
[Service]
WorkingDirectory=/home/app
ExecStart={serve} {arguments}
```

```ini unit=holder.service
[Service]
WorkingDirectory=/home/app
ExecStart=/bin/sh -c 'exec {holder}'
```

```console
{typed}
```

```expect
eventually app.MainPID = 0 within 2min
```
"#,
        name = row.name,
        keys = row.keys,
        arguments = row.arguments,
        holder = serve,
    )
}

/// What was seen of the service, and what was printed.
fn play(document: &str, python: Option<&Path>) -> Result<Vec<String>, Failed> {
    let scenario = Scenario::parse("uvicorn.md", document).map_err(|error| error.render(Style::Plain))?;
    let options = Options {
        clock: ClockKind::Real,
        update: true,
        real: python.map(|path| ("uvicorn".to_owned(), path.to_owned())).into_iter().collect(),
        ..Options::default()
    };
    let run = scenario.record(&options).map_err(|fault| fault.to_string())?;
    if !matches!(run.outcome.verdict, Verdict::Holds | Verdict::Inconclusive) {
        return Err(report::text(&run.outcome, Style::Plain).into());
    }
    let mut seen: Vec<String> = run
        .outcome
        .timeline
        .events()
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Log { unit, stream, line, .. } if is_app(unit) && is_line(stream, line) => {
                Some(format!("{stream}: {}", line.rsplit(" | ").next().unwrap_or(line)))
            }
            EventKind::Listening { unit, address, port, .. } if is_app(unit) => {
                Some(format!("listening {address} {port}"))
            }
            EventKind::Refused { unit, address, port, errno, .. } if is_app(unit) => {
                Some(format!("refused {address} {port} {errno}"))
            }
            EventKind::Exit { unit, ended, .. } if is_app(unit) => Some(format!("{ended:?}")),
            EventKind::Journal { unit, message, .. } if is_app(unit) && !message.contains("Consumed") => {
                Some(format!("systemd: {message}"))
            }
            _ => None,
        })
        .collect();
    seen.extend(run.outputs.iter().map(|output| format!("$ {}\n{}", output.command.text, output.text)));
    let numbers = Regex::new(r"process \[\d+\]|127\.0\.0\.1:\d+").expect("a pattern");
    Ok(seen.iter().map(|line| numbers.replace_all(line, "[N]").into_owned()).collect())
}

fn is_app(unit: &Option<String>) -> bool {
    unit.as_deref() == Some("app.service")
}

/// Tracebacks are Python's affair: of standard error only what uvicorn logs counts, and what click says.
fn is_line(stream: &str, line: &str) -> bool {
    let logged = ["INFO:", "WARNING:", "ERROR:"].iter().any(|level| line.starts_with(level));
    stream != "stdout" || (logged && !line.contains("Traceback")) || line == "Aborted!"
}
