//! Loops in the words of systemd's versions, and of journalctl in other languages.

use crate::detect_corpus::Case;
use crate::detect_corpus::render::{FORMATS, Format, Found, Input, journal, some};
use crate::detect_corpus::story::{CRASH, Crash, MIN, SEC, Story, Unit, Wording};

const FEW: [Format; 2] = [Format::Short, Format::ShortFull];
const ONE: &str = "code=exited, status=1/FAILURE";

fn looping(name: &str, wording: Wording, how: &str, notes: &[&str]) -> (Story, Unit) {
    let mut unit = Unit::new("telegraf.service", "Telegraf metrics agent", "telegraf").wording(wording);
    let mut story = Story::new(name).on("ubuntu-1604");
    notes.iter().for_each(|note| {
        story.note(note);
    });
    story.started(&mut unit).crashes(&mut unit, 4, Crash { how, ..CRASH });
    story.wait(4 * SEC).main_exited(&unit, how).failed(&unit, "exit-code");
    (story, unit)
}

fn found() -> Found {
    Found::unit("telegraf.service", 5).code(1)
}

fn versions() -> Vec<Case> {
    let began = "-- Logs begin at Thu 2026-01-01 03:12:44 UTC, end at Fri 2026-01-16 12:31:05 UTC. --";
    let begins = "-- Journal begins at Thu 2026-01-01 03:12:44 UTC, ends at Fri 2026-01-16 12:31:05 UTC. --";
    let story = |name, wording, notes: &[&str]| looping(name, wording, ONE, notes).0;
    let (mut limited, mut unit) = looping("wording-219-limit", Wording::V219, ONE, &[]);
    limited.wait(10 * SEC).scheduled(&mut unit).limited(&unit, "start-limit");
    // rsyslog of that time writes no PID for systemd.
    let no_pid = journal(&story("wording-219", Wording::V219, &[]), Format::Short, &[found()]);
    let no_pid = no_pid
        .named("messages.log")
        .changed(|bytes| String::from_utf8(bytes).expect("text").replace(" systemd[1]: ", " systemd: ").into_bytes());
    let mut oldest = some(&story("wording-219", Wording::V219, &[]), &[Format::Short, Format::Json], &[found()]);
    oldest.push(no_pid);
    let n_a = looping("wording-234-n-a", Wording::V234, "code=exited, status=255/n/a", &[]).0;
    vec![
        Case::new("wording-219", "`holdoff time over`, `Starting` right after `Started`", oldest),
        Case::new("wording-219-limit", "`start request repeated too quickly for`", {
            some(&limited, &[Format::Short], &[found().ended("start-limit")])
        }),
        Case::new("wording-234", "`Service hold-off time over`, `Started DESCRIPTION.`, no counter", {
            some(&story("wording-234", Wording::V234, &[began]), &FORMATS, &[found()])
        }),
        Case::new("wording-234-n-a", "`status=255/n/a`, `Unit entered failed state.`", {
            some(&n_a, &FEW, &[Found::unit("telegraf.service", 5).code(255)])
        }),
        Case::new("wording-237", "`hold-off` and the counter are one restart", {
            some(&story("wording-237", Wording::V237, &[]), &FEW, &[found()])
        }),
        Case::new("wording-239", "two lines for one restart count once", {
            some(&story("wording-239", Wording::V239, &[begins]), &FORMATS, &[found()])
        }),
        Case::new("wording-257", "no `Stopped` line in a restart", {
            some(
                &story("wording-257", Wording::V257, &[]),
                &[Format::Short, Format::ShortIsoPrecise, Format::Json],
                &[found()],
            )
        }),
    ]
}

/// What journalctl makes of it for readers.
fn readers() -> Vec<Case> {
    // `-x` explains some lines.
    let (story, _) = looping("explained", Wording::Current, ONE, &[]);
    let explained = journal(&story, Format::Short, &[found()]).named("explained.log").changed(|bytes| {
        let text = String::from_utf8(bytes).expect("text");
        let explain = |line: &str| match line.contains(": Started ") {
            true => format!(
                "{line}\n\u{2591}\u{2591} Subject: A start job for unit telegraf.service has finished successfully\n\
                 \u{2591}\u{2591} Defined-By: systemd\n\u{2591}\u{2591} \n\
                 \u{2591}\u{2591} A start job for unit telegraf.service has finished successfully.\n"
            ),
            false => format!("{line}\n"),
        };
        text.lines().map(explain).collect::<String>().into_bytes()
    });
    // Months are written in the reader's language: when it was cannot be told, that it loops can.
    let replaced = |name: &str, words: &[(&str, &str)]| {
        let found =
            ["first", "last", "period_us", "periodic", "ended"].iter().fold(found(), |found, key| found.open(key));
        journal(&story, Format::Short, &[found]).named(name).changed(|bytes| {
            let text = String::from_utf8(bytes).expect("text");
            words.iter().fold(text, |text, (from, to)| text.replace(from, to)).into_bytes()
        })
    };
    let localized = |name: &str, month: &str| replaced(name, &[("Jan 16", &format!("{month} 16"))]);
    let boundary = [("Jan 16 12:19:", "janv. 31 23:59:"), ("Jan 16 12:20:", "f\u{e9}vr. 01 00:00:")];
    let half_english = [("Jan 16 12:19:", "Feb 28 23:59:"), ("Jan 16 12:20:", "M\u{e4}r 01 00:00:")];
    let mut days = String::new();
    for day in 1..7 {
        let line = |text: &str| format!("M\u{e4}r {day:02} 03:15:0{day} box systemd[1]: {text}\n");
        days += &line("app.service: Main process exited, code=exited, status=1/FAILURE");
        days += &line("app.service: Failed with result 'exit-code'.");
        days += &line(&format!("app.service: Scheduled restart job, restart counter is at {day}."));
        days += &line("Started app.service - App.");
    }
    // The same name twice: each user has a manager, and a unit of this name in it.
    let mut both = Story::new("same-name-two-users");
    let mut first = Unit::new("onedrive.service", "OneDrive", "onedrive").of_user(1501);
    let mut second = Unit::new("onedrive.service", "OneDrive", "onedrive").of_user(1723);
    both.started(&mut first).wait(SEC).started(&mut second);
    for _ in 0..2 {
        both.crashes(&mut first, 1, CRASH).wait(SEC).crashes(&mut second, 1, CRASH);
    }
    both.wait(20 * MIN).says(&first, "all synchronised");
    vec![
        Case::new("explained", "journalctl -x explains some lines", vec![explained]),
        Case::new(
            "other-months",
            "months in the reader's language",
            vec![
                localized("german.log", "M\u{e4}r"),
                localized("french.log", "janv."),
                localized("chinese.log", "1\u{6708}"),
                replaced("over-the-end-of-a-month.log", &boundary),
                replaced("half-english.log", &half_english),
                Input::new("days-apart.log", days, Vec::new()),
            ],
        ),
        Case::new(
            "same-name-two-users",
            "two restarts each of two users' units",
            some(&both, &[Format::Short, Format::Json], &[]),
        ),
    ]
}

pub fn cases() -> Vec<Case> {
    [versions(), readers()].into_iter().flatten().collect()
}
