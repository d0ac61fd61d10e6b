//! Reports: for people, as JSON, as JUnit; and the numbers in them.

use relapse::expect::{Context, Monitor, Source, Style, parse};
use relapse::report::{
    Answerer, ClaimOutcome, Failure, Loop, Outage, Outcome, Period, PhaseOutcome, PhaseState, Verdict, exit_code, json,
    junit, summary, text,
};
use relapse::time::{IncidentTime, Span};
use relapse::timeline::{Answer, Ended, Event, EventKind, Timeline};

use super::timeline::START;

const UNIT: &str = "lumiera-whatsapp.service";

const DOCUMENT: &str =
    "# Two owners of one port\n\n```expect\n3x log \"FSM\" every 14s .. 15s\nnever exit 1 for 5min\n```\n";

fn after(millis: u64) -> IncidentTime {
    START + Span::from_millis(millis)
}

/// Attempts that begin at these moments (in milliseconds), log after 4 s, and fail.
fn attempts(starts: &[u64]) -> Timeline {
    let unit = || Some(UNIT.to_owned());
    let role = || Some("ExecStart".to_owned());
    let mut timeline = Timeline::default();
    timeline.push(START, EventKind::Phase { title: "The loop".into() });
    for (index, start) in starts.iter().enumerate() {
        let pid = 101 + u32::try_from(index).expect("few attempts");
        let cmdline = "/opt/python -m uvicorn".into();
        timeline.push(after(*start), EventKind::Start { unit: unit(), role: role(), pid, ppid: 1, cmdline });
        let line = "FSM Running session recovery on startup".into();
        timeline
            .push(after(start + 4_000), EventKind::Log { unit: unit(), pid: Some(pid), stream: "stdout".into(), line });
        let refused =
            EventKind::Refused { unit: unit(), pid, address: "0.0.0.0".into(), port: 8000, errno: "EADDRINUSE".into() };
        timeline.push(after(start + 4_000), refused);
        timeline
            .push(after(start + 4_050), EventKind::Exit { unit: unit(), role: role(), pid, ended: Ended::Exited(1) });
        timeline.push(after(start + 4_050), EventKind::RestartIn { unit: UNIT.into(), delay: Span::from_secs(10) });
    }
    timeline
}

/// The document judged over attempts, as the run would report it.
fn outcome(starts: &[u64]) -> Outcome {
    let source = Source::new("scenarios/incident.md", DOCUMENT);
    let block = DOCUMENT.find("3x").expect("a claim")..DOCUMENT.len() - "```\n".len();
    let claims = parse(DOCUMENT, block).expect("claims");
    let timeline = attempts(starts);
    let context =
        Context { unit: UNIT.into(), vars: Default::default(), budget: Span::from_secs(600), slack: Span::ZERO };
    let mut monitor = Monitor::begin(&claims, context, &Timeline::default(), START).expect("a block");
    monitor.follow(&timeline);
    let phase = |title: &str, state, from, to, commands, claims| PhaseOutcome {
        title: title.into(),
        state,
        time: Some((after(from), after(to))),
        commands,
        claims,
    };
    Outcome {
        scenario: source.path().into(),
        title: "Two owners of one port".into(),
        kind: "incident".into(),
        verdict: if monitor.is_violated() { Verdict::Violated } else { Verdict::Holds },
        clock: "virtual".into(),
        manager: "embedded".into(),
        profile: "252".into(),
        incident: Span::from_millis(623_456),
        wall_us: 31_415,
        claims: monitor.claims().iter().map(|claim| ClaimOutcome::of(claim, &source, source.path())).collect(),
        cycles: Some(Loop::of(timeline.events(), UNIT)),
        outage: Outage::of(timeline.events()),
        aftermath: None,
        remark: String::new(),
        cannot_tell: false,
        artifacts: Some("/tmp/relapse-x/incident".into()),
        phases: vec![
            phase("Somebody starts it by hand", PhaseState::Passed, 0, 10_000, 2, 0),
            phase("The loop", PhaseState::Failed, 10_000, 40_000, 1, 1),
            PhaseOutcome {
                title: "Afterwards".into(),
                state: PhaseState::NotReached,
                time: None,
                commands: 0,
                claims: 0,
            },
        ],
        failures: monitor
            .claims()
            .iter()
            .filter(|claim| claim.verdict == relapse::expect::Verdict::Violated)
            .map(|claim| Failure::of_claim(claim, &source))
            .collect(),
        timeline,
        rerun: "relapse run scenarios/incident.md".into(),
    }
}

fn holding() -> Outcome {
    let mut outcome = outcome(&[0, 14_500, 29_000]);
    outcome.verdict = Verdict::Holds;
    outcome.failures.clear();
    outcome
}

#[test]
fn a_scenario_that_holds_is_one_line() {
    let outage = Outage { length: Span::from_millis(8_900), requests: 100, failed: 89, ..Outage::default() };
    let fix = Outcome { outage: Some(outage), cycles: None, title: "Kill it".into(), ..holding() };
    let lines = text(&holding(), Style::Plain) + &text(&fix, Style::Plain);
    insta::assert_snapshot!(lines, @r"
    ✓ Two owners of one port  scenarios/incident.md  2 cycles of 14.5s, incident 10min 23s, wall 31ms
    ✓ Kill it  scenarios/incident.md  outage 8.9s (89 of 100 requests), incident 10min 23s, wall 31ms
    ");
}

#[test]
fn a_violated_scenario_shows_the_claim_the_phases_the_events_and_how_to_run_it_again() {
    let outcome = outcome(&[0, 14_500, 30_500]);
    assert_eq!(outcome.failures.len(), 2);
    insta::assert_snapshot!(text(&outcome, Style::Plain), @r#"
    ✗ violated: Two owners of one port  scenarios/incident.md  2 cycles of 14.5s .. 16s, incident 10min 23s, wall 31ms

    violated: number 3 did not come within 15s
     --> scenarios/incident.md:4:1
      |
    3 | ```expect
    4 | 3x log "FSM" every 14s .. 15s
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ decided at 12:28:51.500
    5 | never exit 1 for 5min
      |

    violated: `exit 1` happened
     --> scenarios/incident.md:5:1
      |
    4 | 3x log "FSM" every 14s .. 15s
    5 | never exit 1 for 5min
      | ^^^^^^^^^^^^^^^^^^^^^ decided at 12:28:22.050
    6 | ```
      |

      ✓ Somebody starts it by hand  12:28:18.000 .. 12:28:28.000, 2 commands
      ✗ The loop  12:28:28.000 .. 12:28:58.000, 1 command, 1 claim
      · Afterwards

        … 2 more
      > 12:28:22.000 lumiera-whatsapp[101] log "FSM Running session recovery on startup"
        … 2 more
        12:28:22.050 lumiera-whatsapp restart in 10s
        12:28:32.500 lumiera-whatsapp[102] start /opt/python -m uvicorn
      > 12:28:36.500 lumiera-whatsapp[102] log "FSM Running session recovery on startup"
        12:28:36.500 lumiera-whatsapp[102] refused 8000 on 0.0.0.0 (EADDRINUSE)
        12:28:36.550 lumiera-whatsapp[102] exit 1
        12:28:36.550 lumiera-whatsapp restart in 10s
        12:28:48.500 lumiera-whatsapp[103] start /opt/python -m uvicorn
        12:28:52.500 lumiera-whatsapp[103] log "FSM Running session recovery on startup"
        12:28:52.500 lumiera-whatsapp[103] refused 8000 on 0.0.0.0 (EADDRINUSE)
        12:28:52.550 lumiera-whatsapp[103] exit 1
        12:28:52.550 lumiera-whatsapp restart in 10s

    kept in  /tmp/relapse-x/incident
    again    relapse run scenarios/incident.md
    "#);
}

#[test]
fn answered_requests_do_not_hide_the_events_around_the_moment() {
    let mut outcome = outcome(&[0, 14_500, 30_500]);
    let mut timeline = Timeline::default();
    let mut now = 0;
    for event in outcome.timeline.events() {
        while after(now) < event.at {
            let (answer, pid) = if now == 51_000 { (Answer::Refused, None) } else { (Answer::Status(200), Some(7)) };
            timeline.push(after(now), EventKind::Request { port: 8000, answer, pid, sent: after(now) });
            now += 100;
        }
        timeline.push(event.at, event.kind.clone());
    }
    outcome.timeline = timeline;
    outcome.failures = vec![Failure::other("it stopped", Some(after(30_550)))];
    outcome.phases.clear();
    insta::assert_snapshot!(text(&outcome, Style::Plain), @r#"
    ✗ violated: Two owners of one port  scenarios/incident.md  2 cycles of 14.5s .. 16s, incident 10min 23s, wall 31ms

    it stopped

        … 5 more
        12:28:22.050 lumiera-whatsapp restart in 10s
        12:28:32.500 lumiera-whatsapp[102] start /opt/python -m uvicorn
        12:28:36.500 lumiera-whatsapp[102] log "FSM Running session recovery on startup"
        12:28:36.500 lumiera-whatsapp[102] refused 8000 on 0.0.0.0 (EADDRINUSE)
        12:28:36.550 lumiera-whatsapp[102] exit 1
        12:28:36.550 lumiera-whatsapp restart in 10s
        12:28:48.500 lumiera-whatsapp[103] start /opt/python -m uvicorn
        12:28:52.500 lumiera-whatsapp[103] log "FSM Running session recovery on startup"
        12:28:52.500 lumiera-whatsapp[103] refused 8000 on 0.0.0.0 (EADDRINUSE)
        12:28:52.550 lumiera-whatsapp[103] exit 1
        12:28:52.550 lumiera-whatsapp restart in 10s

    kept in  /tmp/relapse-x/incident
    again    relapse run scenarios/incident.md
    "#);
}

#[test]
fn other_failures_have_their_own_words() {
    let document = "# X\n\n```console\n$ systemctl is-active x\nactive\n```\n";
    let source = Source::new("scenarios/x.md", document);
    let start = document.find('$').expect("a command");
    let command = start..start + "$ systemctl is-active x".len();
    let failures = [
        Failure::of_output(&source, command.clone(), "-active\n+\u{1b}[1mfailed\n", after(0)),
        Failure::of_status(&source, command.clone(), 0, 3, after(0)),
        Failure::of_status(&source, command, 4, 3, after(0)),
        Failure::other("pid 25957 (uvicorn) neither slept, parked nor exited", None),
    ];
    let all: Vec<String> = failures.iter().map(|failure| failure.render(Style::Plain)).collect();
    insta::assert_snapshot!(all.join("\n"), @r"
    violated: the command printed something else
     --> scenarios/x.md:4:1
      |
    3 | ```console
    4 | $ systemctl is-active x
      | ^^^^^^^^^^^^^^^^^^^^^^^ at 12:28:18.000
    5 | active
      |
    -active
    +␛[1mfailed

    violated: the command's exit status is 3, not 0
     --> scenarios/x.md:4:1
      |
    3 | ```console
    4 | $ systemctl is-active x
      | ^^^^^^^^^^^^^^^^^^^^^^^ at 12:28:18.000
    5 | active
      |
      = help: a line `? 3` below the output says that this is as it should be

    violated: the command's exit status is 3, not 4
     --> scenarios/x.md:4:1
      |
    3 | ```console
    4 | $ systemctl is-active x
      | ^^^^^^^^^^^^^^^^^^^^^^^ at 12:28:18.000
    5 | active
      |

    pid 25957 (uvicorn) neither slept, parked nor exited
    ");
    let stalled = Outcome { verdict: Verdict::Stalled, failures: failures[3..].to_vec(), ..holding() };
    assert!(text(&stalled, Style::Plain).starts_with("? stalled: Two owners of one port"));
    assert!(text(&stalled, Style::Plain).contains("neither slept"));
}

#[test]
fn many_failures_are_not_all_told() {
    let mut outcome = outcome(&[0, 14_500, 30_500]);
    let failure = outcome.failures[0].clone();
    outcome.failures = vec![failure; 8];
    let text = text(&outcome, Style::Plain);
    assert_eq!(text.matches("violated: ").count(), 1 + 5, "{text}");
    assert!(text.contains("and 3 more"), "{text}");
}

#[test]
fn colours_come_only_when_asked_for_and_text_from_others_brings_none() {
    let mut outcome = outcome(&[0, 14_500, 30_500]);
    outcome.title = "\u{1b}[31mTitle\u{9b}2J".into();
    outcome.artifacts = Some("/tmp/\u{1b}]0;x\u{7}".into());
    outcome.rerun = "relapse run '\u{1b}c'".into();
    outcome.phases[0].title = "\u{1b}[2JPhase".into();
    let plain = text(&outcome, Style::Plain) + &summary(&[outcome.clone()], Style::Plain);
    let obeyed = |c: char| c.is_control() && c != '\n';
    assert!(!plain.contains(obeyed), "{plain:?}");
    let coloured = text(&outcome, Style::Coloured);
    assert!(coloured.contains("\u{1b}[31m✗\u{1b}[0m"), "{coloured:?}");
    // Without our own sequences nothing is left that a terminal would obey.
    let sequence = regex::Regex::new("\u{1b}\\[[0-9;]*m").expect("a pattern");
    let stripped = sequence.replace_all(&coloured, "");
    assert!(!stripped.contains(obeyed), "{stripped:?}");
    assert!(stripped.contains("␛[31mTitle"), "{stripped:?}");
}

#[test]
fn json_is_one_object_a_line_with_the_documented_keys() {
    let mut outcome = outcome(&[0, 14_500, 30_500]);
    outcome.outage = Some(Outage {
        length: Span::from_millis(8_900),
        requests: 100,
        failed: 89,
        slow: 1,
        answered: vec![Answerer { pid: Some(1001), requests: 11 }],
    });
    outcome.claims[1].document = Some("scenarios/base.md".into());
    let line = json(&outcome);
    assert_eq!(line.matches('\n').count(), 1);
    let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    insta::assert_snapshot!(serde_json::to_string_pretty(&value).expect("JSON"), @r#"
    {
      "aftermath": null,
      "artifacts": "/tmp/relapse-x/incident",
      "claims": [
        {
          "decided_at": 1768566531500000,
          "line": 4,
          "text": "3x log \"FSM\" every 14s .. 15s",
          "verdict": "violated"
        },
        {
          "decided_at": 1768566502050000,
          "document": "scenarios/base.md",
          "line": 5,
          "text": "never exit 1 for 5min",
          "verdict": "violated"
        }
      ],
      "clock": "virtual",
      "incident_us": 623456000,
      "kind": "incident",
      "loop": {
        "cycles": 2,
        "period_us": {
          "max": 16000000,
          "median": 15250000,
          "min": 14500000
        }
      },
      "manager": "embedded",
      "outage": {
        "answered": [
          {
            "pid": 1001,
            "requests": 11
          }
        ],
        "failed": 89,
        "requests": 100,
        "slow": 1,
        "us": 8900000
      },
      "profile": "252",
      "scenario": "scenarios/incident.md",
      "title": "Two owners of one port",
      "verdict": "violated",
      "wall_us": 31415
    }
    "#);
    let error = Outcome { verdict: Verdict::SetupFailed, cycles: None, outage: None, artifacts: None, ..outcome };
    let value: serde_json::Value = serde_json::from_str(&json(&error)).expect("JSON");
    for key in ["loop", "outage", "artifacts"] {
        assert_eq!(value.get(key), Some(&serde_json::Value::Null), "{key} is there and null");
    }
    assert_eq!(value["verdict"], "setup-failed");
}

#[test]
fn junit_tells_failures_from_errors() {
    let mut violated = outcome(&[0, 14_500, 30_500]);
    violated.title = "Two <owners> & \u{1b}[31mone\u{0} port".into();
    let stalled = Outcome {
        verdict: Verdict::Stalled,
        failures: vec![Failure::other("pid 7 neither slept, parked nor exited", None)],
        phases: Vec::new(),
        ..holding()
    };
    insta::assert_snapshot!(junit(&[holding(), violated, stalled]), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="relapse" tests="3" skipped="0" failures="1" errors="1" time="0.094">
        <testsuite name="relapse" tests="3" skipped="0" failures="1" errors="1" time="0.094">
            <testcase name="Two owners of one port" classname="scenarios/incident.md" time="0.031"/>
            <testcase name="Two &lt;owners&gt; &amp; ␛[31mone␀ port" classname="scenarios/incident.md" time="0.031">
                <failure message="number 3 did not come within 15s" type="violated">violated: number 3 did not come within 15s
     --&gt; scenarios/incident.md:4:1
      |
    3 | ```expect
    4 | 3x log &quot;FSM&quot; every 14s .. 15s
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ decided at 12:28:51.500
    5 | never exit 1 for 5min
      |

    violated: `exit 1` happened
     --&gt; scenarios/incident.md:5:1
      |
    4 | 3x log &quot;FSM&quot; every 14s .. 15s
    5 | never exit 1 for 5min
      | ^^^^^^^^^^^^^^^^^^^^^ decided at 12:28:22.050
    6 | ```
      |

      ✓ Somebody starts it by hand  12:28:18.000 .. 12:28:28.000, 2 commands
      ✗ The loop  12:28:28.000 .. 12:28:58.000, 1 command, 1 claim
      · Afterwards

        … 2 more
      &gt; 12:28:22.000 lumiera-whatsapp[101] log &quot;FSM Running session recovery on startup&quot;
        … 2 more
        12:28:22.050 lumiera-whatsapp restart in 10s
        12:28:32.500 lumiera-whatsapp[102] start /opt/python -m uvicorn
      &gt; 12:28:36.500 lumiera-whatsapp[102] log &quot;FSM Running session recovery on startup&quot;
        12:28:36.500 lumiera-whatsapp[102] refused 8000 on 0.0.0.0 (EADDRINUSE)
        12:28:36.550 lumiera-whatsapp[102] exit 1
        12:28:36.550 lumiera-whatsapp restart in 10s
        12:28:48.500 lumiera-whatsapp[103] start /opt/python -m uvicorn
        12:28:52.500 lumiera-whatsapp[103] log &quot;FSM Running session recovery on startup&quot;
        12:28:52.500 lumiera-whatsapp[103] refused 8000 on 0.0.0.0 (EADDRINUSE)
        12:28:52.550 lumiera-whatsapp[103] exit 1
        12:28:52.550 lumiera-whatsapp restart in 10s

    kept in  /tmp/relapse-x/incident
    again    relapse run scenarios/incident.md
    </failure>
            </testcase>
            <testcase name="Two owners of one port" classname="scenarios/incident.md" time="0.031">
                <error message="pid 7 neither slept, parked nor exited" type="stalled">pid 7 neither slept, parked nor exited

    kept in  /tmp/relapse-x/incident
    again    relapse run scenarios/incident.md
    </error>
            </testcase>
        </testsuite>
    </testsuites>
    "#);
}

#[test]
fn the_summary_counts_and_the_exit_code_tells() {
    let with = |verdicts: &[Verdict]| -> Vec<Outcome> {
        verdicts.iter().map(|verdict| Outcome { verdict: *verdict, ..holding() }).collect()
    };
    use Verdict::{Error, Holds, Inconclusive, SetupFailed, Stalled, Violated};
    let rows: &[(&[Verdict], u8)] = &[
        (&[], 0),
        (&[Holds, Holds], 0),
        (&[Holds, Violated], 1),
        (&[Violated, Error, Stalled], 1),
        (&[Holds, Error], 2),
        (&[Error, Inconclusive], 2),
        (&[SetupFailed], 3),
        (&[Holds, Inconclusive], 3),
        (&[Stalled, Holds], 3),
    ];
    for (verdicts, wanted) in rows {
        assert_eq!(exit_code(&with(verdicts)), *wanted, "{verdicts:?}");
    }
    let all = with(&[Holds, Violated, SetupFailed, SetupFailed, Holds]);
    assert_eq!(
        summary(&all, Style::Plain),
        "5 scenarios: 2 hold, 1 violated, 2 setup failed (51min 57s of incident in 157ms)\n"
    );
    assert_eq!(summary(&all[..1], Style::Plain), "1 scenario: 1 holds (10min 23s of incident in 31ms)\n");
    assert_eq!(summary(&all[1..2], Style::Plain), "1 scenario: 0 hold, 1 violated (10min 23s of incident in 31ms)\n");
}

#[test]
fn a_loop_is_measured_from_start_to_start() {
    let period = |min, median, max| {
        let span = Span::from_millis;
        Some(Period { min: span(min), median: span(median), max: span(max) })
    };
    type Row<'a> = (&'a [u64], u64, Option<Period>);
    let rows: &[Row<'_>] = &[
        (&[], 0, None),
        (&[0], 0, None),
        (&[0, 14_500], 1, period(14_500, 14_500, 14_500)),
        (&[0, 14_500, 29_500], 2, period(14_500, 14_750, 15_000)),
        (&[0, 15_000, 29_000, 44_500], 3, period(14_000, 15_000, 15_500)),
    ];
    for (starts, cycles, period) in rows {
        let found = Loop::of(attempts(starts).events(), UNIT);
        assert_eq!((found.cycles, found.period), (*cycles, *period), "{starts:?}");
    }
    assert_eq!(Loop::of(attempts(&[0, 14_500]).events(), "other.service").cycles, 0);
}

#[test]
fn an_outage_is_measured_from_failure_to_answer() {
    /// When a request was sent and ended, in milliseconds, and whether it was answered.
    type Row<'a> = (&'a [(u64, u64, bool)], Option<(u64, u64, u64)>);
    let rows: &[Row<'_>] = &[
        (&[], None),
        (&[(0, 0, true)], Some((0, 1, 0))),
        (&[(0, 0, true), (100, 100, false), (200, 200, false), (300, 300, true)], Some((200, 4, 2))),
        (&[(0, 2_000, false), (2_100, 2_101, true)], Some((2_101, 2, 1))),
        (&[(0, 0, false), (100, 100, true), (900, 900, false), (1_000, 1_000, true)], Some((200, 4, 2))),
        (&[(0, 0, true), (100, 100, false), (200, 200, false)], Some((100, 3, 2))),
        (&[(100, 100, false)], Some((0, 1, 1))),
        (&[(0, 1_000, true), (1_000, 2_001, true)], Some((0, 2, 0))),
    ];
    for (requests, wanted) in rows {
        let events: Vec<Event> = requests
            .iter()
            .map(|(sent, ended, answered)| Event {
                at: after(*ended),
                kind: EventKind::Request {
                    port: 8000,
                    answer: if *answered { Answer::Status(200) } else { Answer::Refused },
                    pid: None,
                    sent: after(*sent),
                },
            })
            .collect();
        let answered = |requests: u64| Some(Answerer { pid: None, requests }).filter(|one| one.requests > 0);
        let wanted = wanted.map(|(millis, all, failed)| Outage {
            length: Span::from_millis(millis),
            requests: all,
            failed,
            slow: requests.iter().filter(|(sent, ended, answered)| *answered && ended - sent > 1_000).count() as u64,
            answered: answered(all - failed).into_iter().collect(),
        });
        assert_eq!(Outage::of(&events), wanted, "{requests:?}");
    }
}
