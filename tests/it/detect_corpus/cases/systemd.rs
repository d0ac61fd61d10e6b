//! Loops of systemd's units: signatures, periods, ends.

use serde_json::json;

use crate::detect_corpus::Case;
use crate::detect_corpus::render::{FORMATS, Format, Found, Lines, Stamp, journal, journals, some};
use crate::detect_corpus::story::{CRASH, Crash, MIN, MS, Row, SEC, Story, Unit};

const LUMIERA: &str = "lumiera-whatsapp.service";

fn lumiera() -> Unit {
    Unit::new(LUMIERA, "Lumiera WhatsApp Copilot API", "python")
}

/// One failing attempt of the incident, from `Started` to the failure.
fn attempt(story: &mut Story, unit: &Unit) {
    let startup = story.dice.within(4_200 * MS, 4_460 * MS);
    story.wait(startup).uvicorn_fails(unit, 8000).wait(44 * MS);
    story.main_exited(unit, "code=exited, status=1/FAILURE").failed(unit, "exit-code");
    story.manager(unit, &format!("{LUMIERA}: Consumed 3.766s CPU time."), &[]);
}

/// The wait, and the next run's begin.
fn again(story: &mut Story, unit: &mut Unit) {
    let slack = story.dice.within(5 * MS, 240 * MS);
    story.wait(10 * SEC + slack).scheduled(unit).started(unit);
}

fn incident(name: &str, attempts: u32) -> (Story, Unit) {
    let (mut story, mut unit) = (Story::new(name), lumiera());
    story.started(&mut unit);
    for _ in 1..attempts {
        attempt(&mut story, &unit);
        again(&mut story, &mut unit);
    }
    (story, unit)
}

/// Only the records that are to be kept; their first one is where a start is seen.
fn only(story: &Story, keep: impl Fn(&str) -> bool) -> Story {
    let mut left = story.clone();
    left.rows.retain(|row| matches!(row, Row::Record(entry) if keep(&entry.message)));
    left
}

fn app_log(story: &Story) -> Lines {
    let mut lines = Lines::default();
    for row in &story.rows {
        let Row::Record(entry) = row else { continue };
        if entry.message == "INFO:     Waiting for application startup." {
            lines.start(entry.at, Stamp::Plain, "@ | FSM Running session recovery on startup");
            lines.line(entry.at, Stamp::Plain, "@ | FSM Session recovery complete");
            lines.line(entry.at, Stamp::Plain, "@ | ✅ FSM background cleanup task started");
        } else if entry.message == "INFO:     Waiting for application shutdown." {
            lines.line(entry.at, Stamp::Plain, "@ | FSM shutdown hook ran");
        }
    }
    lines
}

const BANNER: &str = "FSM Running session recovery on startup";

fn the_incident() -> Vec<Case> {
    let (mut story, unit) = incident("incident", 5);
    attempt(&mut story, &unit);
    let loops = [Found::unit(LUMIERA, 5).port(8000)];
    let mut inputs = journals(&story, &loops);
    let banner = Found::of(BANNER, "banner", 5).part_of_line();
    inputs.push(app_log(&story).input("app.log", Some(banner.clone())));
    let mut grepped = Lines::default();
    for at in [558, 572, 586, 601, 616] {
        let moment = crate::detect_corpus::story::INCIDENT + at * SEC;
        grepped.start(moment, Stamp::Plain, "@ | FSM Running session recovery on startup");
    }
    inputs.push(grepped.input("grepped.log", Some(banner.clone())));
    // The words of the report with the pattern given: the subject is the pattern.
    let given = Found::of("FSM.*session recovery", "banner", 5);
    let args = ["--banner", "FSM.*session recovery"];
    inputs.push(grepped.input("banner-given.log", Some(given)).with(&args));

    let (mut fixed, unit) = incident("incident-fixed", 4);
    attempt(&mut fixed, &unit);
    let mut unit = unit;
    again(&mut fixed, &mut unit);
    fixed.wait(4_300 * MS).uvicorn_serves(&unit, 8000);
    let served = fixed.clone();
    for _ in 0..5 {
        fixed.wait(15 * SEC).says(&unit, "INFO:     127.0.0.1:54022 - \"GET /health HTTP/1.1\" 200 OK");
    }
    let loops = [Found::unit(LUMIERA, 5).port(8000).ended("recovered")];
    let mut fixed_app = app_log(&fixed);
    for minute in 1..6 {
        fixed_app.line(served.now + minute * MIN, Stamp::Plain, "@ | FSM swept 0 expired sessions");
    }
    let mut fixed_inputs = journals(&fixed, &loops);
    fixed_inputs.push(fixed_app.input("app.log", Some(banner.clone().ended("recovered"))));

    let silent = {
        let (mut story, unit) = incident("incident-silent", 4);
        attempt(&mut story, &unit);
        let mut unit = unit;
        again(&mut story, &mut unit);
        for minute in 0..4 {
            story.wait(50 * SEC).program(
                "dhclient",
                612,
                &format!("DHCPREQUEST for 10.0.0.{minute} on eth0 to 10.0.0.1"),
            );
        }
        story
    };
    vec![
        Case::new("incident", "the incident of the report; a bind error outranks the exit code", inputs),
        Case::new("incident-fixed", "recovered: the last run holds", fixed_inputs),
        Case::new(
            "incident-just-served",
            "recovered: the input ends early, but a line of the last run says that it serves",
            some(&served, &[Format::ShortPrecise, Format::ShortFull, Format::Json], &loops),
        ),
        Case::new(
            "incident-held-in-silence",
            "recovered: nothing ends the last run while the input goes on",
            some(&silent, &[Format::Short, Format::Json], &loops),
        ),
    ]
}

fn signatures() -> Vec<Case> {
    let (mut whole, unit) = incident("only-counters", 6);
    attempt(&mut whole, &unit);
    let mut counters = only(&whole, |message| message.contains("Scheduled restart job"));
    for row in &mut counters.rows {
        if let Row::Record(entry) = row {
            entry.start_of = Some(LUMIERA.to_owned());
        }
    }
    let pairs =
        only(&whole, |message| message.starts_with("Started lumiera") || message.contains("Main process exited"));
    let systemd_only = only(&whole, |message| message.contains("lumiera"));
    let mut program_only = only(&whole, |message| message.contains(":     ") || message.contains(":    ["));
    for row in &mut program_only.rows {
        match row {
            Row::Record(entry) if entry.message.contains("Started server process") => {
                entry.start_of = Some("python".to_owned());
            }
            _ => {}
        }
    }
    // `journalctl -t python`: the program belongs to a unit, and only the JSON format says so.
    let text = [Format::Short, Format::ShortPrecise, Format::ShortIso, Format::ShortIsoPrecise, Format::ShortFull];
    let conflict = Found::of("python", "port-conflict", 6).port(8000);

    let mut outside = (Story::new("started-from-outside"), Unit::new("bot.service", "Chat bot", "bot"));
    outside.0.started(&mut outside.1);
    for _ in 0..5 {
        let (story, unit) = (&mut outside.0, &mut outside.1);
        story.wait(3 * SEC).says(unit, "no database, giving up");
        story.main_exited(unit, "code=exited, status=4/NOPERMISSION").failed(unit, "exit-code");
        story.wait(17 * SEC).started(unit);
    }
    outside
        .0
        .wait(3 * SEC)
        .main_exited(&outside.1, "code=exited, status=4/NOPERMISSION")
        .failed(&outside.1, "exit-code");
    let pid = Found::of("bot.service", "main-pid", 6).code(4);
    vec![
        Case::new("only-counters", "where only counter lines are shown, each is a start", {
            journals(&counters, &[Found::unit(LUMIERA, 5)])
        }),
        Case::new("only-pairs", "starts and exits without the counter's lines", {
            journals(&pairs, &[Found::of(LUMIERA, "main-pid", 6).code(1)])
        }),
        Case::new("only-systemd", "without the program's lines the exit code is the cause", {
            some(&systemd_only, &[Format::Short, Format::ShortIso, Format::Json], &[Found::unit(LUMIERA, 6).code(1)])
        }),
        Case::new("only-the-program", "bind errors of changing processes, no manager's line", {
            some(&program_only, &text, &[conflict])
        }),
        Case::new("started-from-outside", "four or more failed runs at short gaps without counters are a loop", {
            journals(&outside.0, &[pid])
        }),
    ]
}

/// A loop of `app.service` that goes on.
fn simple(name: &str, restarts: u32, crash: Crash<'_>) -> (Story, Unit) {
    let (mut story, mut unit) = (Story::new(name), Unit::new("app.service", "App", "app"));
    story.started(&mut unit).crashes(&mut unit, restarts, crash);
    (story, unit)
}

fn periods() -> Vec<Case> {
    let going = |name, rule, restarts: u32, crash: Crash<'_>, growing: bool| {
        let (story, _) = simple(name, restarts, crash);
        let found = Found::unit("app.service", restarts as usize + 1).code(1);
        let found = if growing { found.growing() } else { found };
        // How stamps are written matters most where they are coarser than the period.
        let few = [Format::Short, Format::ShortIsoPrecise, Format::Json];
        let few = if name.ends_with("min") { &few[..2] } else { &few };
        let formats = if name == "period-100ms" || growing { FORMATS.as_slice() } else { few };
        Case::new(name, rule, some(&story, formats, &[found]))
    };
    let fast = Crash { runs_for: 5 * MS, wait: 100 * MS, slack: 150 * MS, ..CRASH };
    vec![
        going("period-100ms", "a loop faster than the stamps of most formats", 11, fast, false),
        going("period-2s", "RestartSec=2", 7, Crash { runs_for: 100 * MS, wait: 2 * SEC, ..CRASH }, false),
        going("period-10min", "a 10-minute cycle is a loop", 5, Crash { runs_for: 590 * SEC, ..CRASH }, false),
        going("period-1min", "RestartSec=60", 5, Crash { runs_for: 5 * MS, wait: 60 * SEC, ..CRASH }, false),
        going(
            "period-50min",
            "a run below an hour does not break the chain",
            4,
            Crash { runs_for: 50 * MIN, ..CRASH },
            false,
        ),
        going(
            "growing",
            "RestartSteps=: growing, not periodic",
            6,
            Crash { runs_for: 300 * MS, wait: SEC, slack: 0, growth: 2, ..CRASH },
            true,
        ),
        going(
            "uneven",
            "gaps of all lengths are a loop, not a periodic one",
            7,
            Crash { slack: 80 * SEC, ..CRASH },
            false,
        ),
        going("three-restarts", "the smallest loop: three automatic restarts", 3, CRASH, false),
    ]
}

fn limits() -> Vec<Case> {
    let limited = |name, rule, starts: u32, crash: Crash<'_>, result: &str, cause: serde_json::Value, retries: u32| {
        let (mut story, mut unit) = simple(name, starts - 1, crash);
        story.wait(crash.runs_for);
        if !crash.how.is_empty() {
            story.main_exited(&unit, crash.how);
        }
        if crash.result == "success" {
            story.deactivated(&unit)
        } else {
            story.failed(&unit, crash.result)
        };
        story.wait(crash.wait).scheduled(&mut unit);
        story.limited(&unit, result);
        for _ in 0..retries {
            story.wait(2 * MIN).limited(&unit, result);
        }
        let found = Found::unit("app.service", starts as usize).cause(cause).ended("start-limit");
        Case::new(name, rule, journals(&story, &[found]))
    };
    let quick = Crash { runs_for: 20 * MS, wait: 100 * MS, slack: 140 * MS, ..CRASH };
    let clean = Crash { how: "", result: "success", ..quick };
    let missing = Crash { how: "code=exited, status=203/EXEC", ..quick };
    let one = json!({"kind": "exit-code", "status": 1});
    vec![
        limited(
            "limit-default",
            "five starts in ten seconds; the refused start is none",
            5,
            quick,
            "exit-code",
            one.clone(),
            0,
        ),
        limited(
            "limit-after-two-restarts",
            "fewer restarts than three if a limit ended them",
            3,
            quick,
            "exit-code",
            one.clone(),
            0,
        ),
        limited(
            "limit-after-one-restart",
            "fewer restarts than three if a limit ended them",
            2,
            missing,
            "exit-code",
            json!({"kind": "exit-code", "status": 203}),
            0,
        ),
        limited("limit-refused-again", "starts that are refused later are none", 5, quick, "exit-code", one, 2),
        limited("limit-exits-0", "a clean exit is no cause", 5, clean, "start-limit-hit", serde_json::Value::Null, 0),
    ]
}

fn ends() -> Vec<Case> {
    let (mut stopped, unit) = simple("ended-stopped-in-the-wait", 4, CRASH);
    stopped.wait(4 * SEC).main_exited(&unit, CRASH.how).failed(&unit, "exit-code");
    stopped.wait(3 * SEC).stop_asked_in_the_wait(&unit);
    for _ in 0..4 {
        stopped.wait(2 * MIN).program("CRON", 4242, "(root) CMD (run-parts /etc/cron.hourly)");
    }
    let (mut in_flight, unit) = simple("ended-stopped-in-flight", 4, CRASH);
    in_flight.wait(2 * SEC).stop_asked(&unit, 300 * MS);
    for _ in 0..4 {
        in_flight.wait(2 * MIN).program("CRON", 4242, "(root) CMD (run-parts /etc/cron.hourly)");
    }
    let (mut no_word, unit) = simple("ended-no-word", 4, CRASH);
    no_word.wait(4 * SEC).main_exited(&unit, CRASH.how).failed(&unit, "exit-code");
    for _ in 0..6 {
        no_word.wait(4 * MIN).program("dhclient", 612, "bound to 10.0.0.17 -- renewal in 1800 seconds.");
    }
    let (mut not_yet, _) = simple("ended-not-yet", 5, CRASH);
    not_yet.wait(9 * SEC).program("dhclient", 612, "bound to 10.0.0.17 -- renewal in 1800 seconds.");

    // Four restarts, one that holds for an hour and a half, then one more crash: one loop that has recovered.
    let (mut later, mut unit) = simple("recovered-then-one-more", 4, CRASH);
    later.crashes(&mut unit, 1, Crash { runs_for: 90 * MIN, ..CRASH });
    later.wait(20 * MIN).program("dhclient", 612, "bound to 10.0.0.17 -- renewal in 1800 seconds.");
    let (mut twice, mut unit) = simple("two-loops-of-one-unit", 4, CRASH);
    twice.crashes(&mut unit, 1, Crash { runs_for: 3 * 60 * MIN, ..CRASH });
    let first = Found::unit("app.service", 5).code(1).ended("recovered").then_others();
    let loops = [Found::unit("app.service", 5).code(1).ended("unknown")];
    vec![
        Case::new("ended-stopped-in-the-wait", "unknown: somebody has stopped it", journals(&stopped, &loops)),
        Case::new(
            "ended-stopped-in-flight",
            "unknown: somebody has stopped it",
            some(&in_flight, &[Format::Short, Format::ShortIso, Format::Json], &loops),
        ),
        Case::new(
            "ended-no-word",
            "unknown: the input goes on without a word about it",
            some(&no_word, &[Format::Short, Format::ShortFull, Format::Json], &loops),
        ),
        Case::new("ended-not-yet", "ongoing: a run that holds for some seconds has not recovered", {
            journals(&not_yet, &[Found::unit("app.service", 6).code(1)])
        }),
        Case::new(
            "recovered-then-one-more",
            "a run of an hour or more ends the chain",
            journals(&later, std::slice::from_ref(&first)),
        ),
        Case::new("recovered-crash-hours-later", "a single crash after the loop is not part of it", {
            some(&twice, &[Format::Short, Format::ShortIso, Format::Json], &[first])
        }),
    ]
}

fn names() -> Vec<Case> {
    let named = |case, rule, unit: Unit, formats: &[Format]| {
        let (mut story, mut unit) = (Story::new(case), unit);
        let name = unit.name.clone();
        story.started(&mut unit).crashes(&mut unit, 4, CRASH);
        Case::new(case, rule, some(&story, formats, &[Found::unit(&name, 5).code(1)]))
    };
    let all = crate::detect_corpus::render::FORMATS;
    let few = [Format::Short, Format::ShortIsoPrecise, Format::Json];
    let trap = "Started other.service: Scheduled restart job, restart counter is at 9. - Old";
    let mut hosts = Vec::new();
    for host in [
        "localhost",
        "ip-10-0-3-17.eu-west-1.compute.internal",
        "10.0.0.5",
        "2001:db8::5",
        "systemd",
        "a",
        "2026-box",
        "Jan",
    ] {
        let (mut story, mut unit) = (Story::new("hosts").on(host), Unit::new("app.service", "App", "app"));
        story.started(&mut unit).crashes(&mut unit, 3, CRASH);
        let name = format!("{}.log", host.replace(':', "_"));
        for format in [Format::Short, Format::ShortIso, Format::ShortFull] {
            let found = Found::unit("app.service", 4).code(1);
            let name = format!("{}-{name}", format.file().trim_end_matches(".log"));
            hosts.push(journal(&story, format, &[found]).named(&name));
        }
    }
    let mut two = Story::new("instances");
    let mut units: Vec<Unit> =
        (1..=3).map(|n| Unit::new(&format!("worker@{n}.service"), &format!("Worker {n}"), "worker")).collect();
    for unit in &mut units {
        two.started(unit).wait(700 * MS);
    }
    let (looping, _) = units.split_at_mut(2);
    for _ in 0..4 {
        two.wait(5 * SEC);
        for unit in looping.iter_mut() {
            two.wait(300 * MS).main_exited(unit, "code=exited, status=70/SOFTWARE").failed(unit, "exit-code");
        }
        two.wait(9 * SEC);
        for unit in looping.iter_mut() {
            two.wait(300 * MS).scheduled(unit).started(unit);
        }
    }
    let instance = |n: u32| Found::unit(&format!("worker@{n}.service"), 5).code(70);
    vec![
        named(
            "user-unit",
            "a user's manager has another PID",
            Unit::new("syncd.service", "Sync", "syncd").of_user(1723),
            &all,
        ),
        named(
            "escaped-name",
            "a name with escapes",
            Unit::new("srv-data\\x2dcold-sync@a\\x5cb.service", "Cold sync", "sync"),
            &few,
        ),
        named("no-description", "`Started NAME.`", Unit::new("plain.service", "", "plain"), &few),
        named(
            "dashed-description",
            "a description with dashes and dots",
            Unit::new("x.service", "X - the - best. 2.0 - beta", "x"),
            &few,
        ),
        named(
            "description-like-systemd",
            "a description that reads like another unit's restart",
            Unit::new("y.service", trap, "y"),
            &few,
        ),
        Case::new("hosts", "any host name", hosts),
        Case::new("instances", "several units that loop are several entries; the healthy one is none", {
            journals(&two, &[instance(1), instance(2)])
        }),
    ]
}

pub fn cases() -> Vec<Case> {
    [the_incident(), signatures(), periods(), limits(), ends(), names()].into_iter().flatten().collect()
}
