//! Random mixtures: loops and things that look like loops, on one machine at the same time.

use serde_json::{Value, json};

use super::check;
use super::render::{FORMATS, journal};
use super::story::{CRASH, Crash, Dice, HOUR, INCIDENT, MIN, MS, Row, SEC, Story, Unit};

/// What is to be found of a loop, whatever goes on beside it.
type Wanted = Value;

fn wanted(subject: &str, signature: &str, starts: u32, cause: &Value) -> Wanted {
    json!({"subject": subject, "signature": signature, "starts": starts, "cause": cause})
}

/// A unit that nobody else has.
fn unit(story: &mut Story, n: usize) -> Unit {
    const NAMES: [&str; 8] =
        ["api", "web-front", "node_exporter", "my\\x2dapp", "queue@eu-1", "db.primary", "x", "mqtt2"];
    const WORDS: [&str; 5] =
        ["API", "The Apache HTTP Server", "Queue - EU", "A. Long. Description", "Started by nobody"];
    let name = NAMES[story.dice.next() as usize % NAMES.len()];
    let words = WORDS[story.dice.next() as usize % WORDS.len()];
    // Programs of several units may well have one identifier.
    let ident =
        if story.dice.next().is_multiple_of(3) { "python3" } else { name.split(['@', '\\']).next().unwrap_or(name) };
    Unit::new(&format!("{name}-{n}.service"), words, ident)
}

/// A program that no manager tells of.
fn looping_program(story: &mut Story, n: usize) -> Wanted {
    let (name, starts) = (format!("feeder-{n}"), story.dice.within(5, 9) as u32);
    // Slower ones may be those of units that start now and then, for all that text tells.
    let (wait, port) = (story.dice.within(2_000, 30_000) * MS, story.dice.within(1024, 60_000));
    for _ in 0..starts {
        let pid = story.pid();
        story.program(&name, pid, "starting, version 1.2");
        story.wait(300 * MS).program(&name, pid, &format!("listen tcp :{port}: bind: address already in use"));
        story.wait(wait);
    }
    wanted(&name, "port-conflict", starts, &json!({"kind": "port-in-use", "port": port}))
}

fn looping(story: &mut Story, n: usize) -> Wanted {
    if story.dice.next().is_multiple_of(4) {
        return looping_program(story, n);
    }
    let mut unit = unit(story, n);
    let starts = story.dice.within(4, 9) as u32;
    let (how, result, cause) = match story.dice.next() % 4 {
        0 => ("code=exited, status=1/FAILURE", "exit-code", json!({"kind": "exit-code", "status": 1})),
        1 => ("code=killed, status=9/KILL", "signal", json!({"kind": "signal", "signal": "KILL"})),
        2 => ("code=dumped, status=6/ABRT", "core-dump", json!({"kind": "core-dump", "signal": "ABRT"})),
        _ => ("", "success", Value::Null),
    };
    let (wait, runs_for) = (story.dice.within(100, 60_000) * MS, story.dice.within(5, 300_000) * MS);
    let port = story.dice.within(1024, 60_000);
    let bind = format!(
        "ERROR:    [Errno 98] error while attempting to bind on address ('0.0.0.0', {port}): address already in use"
    );
    let binds = story.dice.next().is_multiple_of(3) && !how.is_empty();
    let cause = if binds { json!({"kind": "port-in-use", "port": port}) } else { cause };
    let crash = Crash { how, result, wait, runs_for, last_words: if binds { &bind } else { "" }, ..CRASH };
    let name = unit.name.clone();
    story.started(&mut unit).crashes(&mut unit, starts - 1, crash);
    if story.dice.next().is_multiple_of(3) {
        story.wait(runs_for);
        if !how.is_empty() {
            story.main_exited(&unit, how);
        }
        if result == "success" {
            story.deactivated(&unit)
        } else {
            story.failed(&unit, result)
        };
        story
            .wait(wait)
            .scheduled(&mut unit)
            .limited(&unit, if result == "success" { "start-limit-hit" } else { result });
    }
    wanted(&name, "restart-counter", starts, &cause)
}

/// Things that look like loops; none of them is one.
fn quiet(story: &mut Story, n: usize) {
    let mut unit = unit(story, n);
    match story.dice.next() % 9 {
        0 => {
            story.started(&mut unit);
            for _ in 0..6 {
                story.says(&unit, "service starting, version 1.2");
                let span = story.dice.within(5, 400) * SEC;
                story.wait(span).stop_asked(&unit, 90 * MS).started(&mut unit);
            }
        }
        1 => {
            story.started(&mut unit).crashes(&mut unit, 2, CRASH).wait(30 * MIN).says(&unit, "still here");
        }
        2 => {
            story.started(&mut unit).crashes(&mut unit, 6, Crash { runs_for: 61 * MIN, ..CRASH });
        }
        3 => {
            for _ in 0..8 {
                story.starting(&mut unit).wait(SEC).says(&unit, "cannot reach the target");
                story.main_exited(&unit, CRASH.how).failed(&unit, "exit-code").failed_to_start(&unit).wait(5 * MIN);
            }
        }
        4 => {
            for _ in 0..12 {
                let pid = story.pid();
                story.program("CRON", pid, "(root) CMD (test -x /usr/sbin/start-job && /usr/sbin/start-job)");
                story.wait(MIN);
            }
        }
        5 => {
            story.started(&mut unit);
            let master = unit.clone();
            for _ in 0..9 {
                let worker = Unit { pid: story.pid(), ..master.clone() };
                story.says(&worker, &format!("[INFO] Booting worker with pid: {}", worker.pid));
                story.wait(25 * SEC).says(&master, &format!("[INFO] Worker exiting (pid: {})", worker.pid));
            }
        }
        6 => {
            story.started(&mut unit);
            for _ in 0..12 {
                story.wait(15 * SEC).says(&unit, "Starting synchronisation with upstream");
                story.says(&unit, "Synchronisation finished");
            }
        }
        7 => {
            for n in 1..9 {
                let words = format!(
                    "Jan 16 12:00:0{n} box systemd[1]: q.service: Scheduled restart job, restart counter is at {n}."
                );
                story.wait(10 * SEC).program("log-shipper", 733, &words);
            }
        }
        _ => {
            for _ in 0..10 {
                let pid = story.pid();
                story.program("sshd", pid, "Accepted publickey for deploy from 10.0.0.7 port 50122 ssh2");
                story.program(
                    "sshd",
                    pid,
                    "pam_unix(sshd:session): session opened for user deploy(uid=1001) by (uid=0)",
                );
                story.wait(20 * SEC).program("sshd", pid, "pam_unix(sshd:session): session closed for user deploy");
            }
        }
    }
}

fn mixture(seed: u64) -> (Story, Vec<Wanted>) {
    let name = format!("mixture {seed}");
    let mut dice = Dice::of(&name);
    let mut whole = Story::new(&name);
    let (mut rows, mut loops) = (Vec::new(), Vec::new());
    for n in 0..dice.within(2, 7) as usize {
        let mut story = Story::new(&format!("{name} {n}")).since(INCIDENT + dice.within(0, HOUR / 2));
        story.boot.clone_from(&whole.boot);
        if dice.next().is_multiple_of(3) {
            loops.push(looping(&mut story, n))
        } else {
            quiet(&mut story, n)
        }
        rows.extend(story.rows);
    }
    rows.sort_by_key(|row| match row {
        Row::Record(entry) => entry.at,
        Row::Note(_) => i64::MIN,
    });
    whole.rows = rows;
    (whole, loops)
}

#[test]
fn random_mixtures_have_the_loops_that_were_put_into_them_and_no_others() {
    let seeds = std::env::var("RELAPSE_MIXTURES").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let (mut wrong, mut found) = (Vec::new(), 0);
    for seed in 0..seeds {
        let (story, loops) = mixture(seed);
        found += loops.len();
        let verdict = if loops.is_empty() { "clean" } else { "loop" };
        let expected = json!({"verdict": verdict, "loops": loops});
        let format = FORMATS[seed as usize % FORMATS.len()];
        let input = journal(&story, format, &[]);
        if let Err(error) = check::bytes(&input.bytes, &expected) {
            if let Some(directory) = std::env::var_os("RELAPSE_MIXTURES_TO") {
                let path = std::path::Path::new(&directory).join(format!("{seed}-{}", input.name));
                std::fs::write(path, &input.bytes).expect("a file");
            }
            wrong.push(format!("seed {seed}, {}:\n{error}", input.name));
        }
    }
    assert!(found > 20, "only {found} loops");
    assert!(wrong.is_empty(), "{}\n{} of {seeds}", wrong.join("\n"), wrong.len());
}
