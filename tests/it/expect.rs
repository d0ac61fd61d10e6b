//! Claims over timelines: for every form one that holds, one that is violated, and both sides of every boundary.

use super::expect_tables::{check, judge, verdicts};

#[test]
fn repeats_are_counted_and_their_distances_measured() {
    const CLAIM: &str = "3x log \"FSM\" every 14s .. 15s";
    check(&[
        (CLAIM, "", "1 log 100 FSM; 15 log 100 FSM; 30 log 100 FSM", "30", "holds 30s"),
        (CLAIM, "", "1 log 100 FSM; 15 log 100 FSM", "29.999999", "open"),
        // Both ends of the range belong to it, and not a microsecond more.
        (CLAIM, "", "1 log 100 FSM; 14.999999 log 100 FSM", "15", "violated 14.999999s"),
        (CLAIM, "", "1 log 100 FSM; 16 log 100 FSM; 31 log 100 FSM", "31", "holds 31s"),
        (CLAIM, "", "1 log 100 FSM; 16.000001 log 100 FSM", "17", "violated 16s"),
        // Without another event time alone decides.
        (CLAIM, "", "1 log 100 FSM", "15.999999", "open"),
        (CLAIM, "", "1 log 100 FSM", "16", "violated 16s"),
        (CLAIM, "", "", "59.999999", "open"),
        (CLAIM, "", "", "1min", "violated 1min"),
        (CLAIM, "", "50 log 100 FSM", "1min", "violated 1min"),
        // Others' lines, and lines before the block, do not count.
        (CLAIM, "", "1 log 100 FSM; 8 log 7 FSM; 9 log 200 FSM; 15 log 100 FSM; 30 log 100 FSM", "30", "holds 30s"),
        (CLAIM, "0 log 100 FSM", "14 log 100 FSM; 28 log 100 FSM", "28", "open"),
        // A single distance is a range as well.
        ("2x start every 14.5s .. 14.5s", "", "1 start 100 x; 15.5 start 101 x", "20", "holds 15.5s"),
        ("2x start every 14.5s .. 14.5s", "", "1 start 100 x; 15.500001 start 101 x", "20", "violated 15.5s"),
        ("2x start every 0s .. 0s", "", "1 start 100 x; 1 start 101 x", "1", "holds 1s"),
    ]);
}

/// A cycle of five seconds that begins at `from`: start, log, refusal, exit, restart.
fn cycle(from: u32, pid: u32) -> String {
    format!(
        "{from} start {pid} uvicorn; {} log {pid} FSM; {} refused {pid} 8000; {} exit {pid} 1; {} restart-in 4s;",
        from + 1,
        from + 1,
        from + 1,
        from + 1
    )
}

#[test]
fn each_cycle_has_its_events_in_order() {
    const CLAIM: &str = "each cycle: start, log \"FSM\", refused 8000, exit 1, restart in 4s";
    let whole: String = (0..4).map(|n| cycle(5 * n, 100 + n)).collect();
    let late: String =
        "2 exit 99 1; 3 log 99 FSM;".to_owned() + &(1..5).map(|n| cycle(5 * n, 100 + n)).collect::<String>();
    let without_log = whole.replace("6 log 101 FSM;", "");
    let other_order = whole.replace("6 log 101 FSM; 6 refused 101 8000;", "6 refused 101 8000; 6 log 101 FSM;");
    check(&[
        // The start that ends the third cycle decides.
        (CLAIM, "", &whole, "15", "holds 15s"),
        (CLAIM, "", whole.split("15 start").next().unwrap_or_default(), "14.999999", "open"),
        (CLAIM, "", &without_log, "20", "violated 10s"),
        (CLAIM, "", &other_order, "20", "violated 10s"),
        // What is left of a cycle that began before the block is not judged.
        (CLAIM, "0 start 99 uvicorn", &late, "20", "holds 20s"),
        // A loop that stops was no loop.
        (
            CLAIM,
            "",
            "0 start 100 x; 1 log 100 FSM; 1 refused 100 8000; 1 exit 100 1; 1 restart-in 4s; 5 start 101 x",
            "1min",
            "violated 1min",
        ),
        (CLAIM, "", "", "1min", "violated 1min"),
        ("each cycle: restart in 4s", "", &whole, "15", "holds 15s"),
        ("each cycle: restart in 5s", "", &whole, "15", "violated 5s"),
        ("each cycle: exit 1, exit 1", "", &whole, "15", "violated 5s"),
    ]);
}

#[test]
fn each_cycle_is_judged_as_long_as_the_block_lasts() {
    let cycles: String = (0..6).map(|n| cycle(5 * n, 100 + n)).collect();
    let monitor = judge("5x start every 5s .. 5s\neach cycle: log \"FSM\"", "1min", "", &cycles, "30");
    assert_eq!(verdicts(&monitor), ["holds 20s", "holds 20s"]);
    let broken = cycles.replace("16 log 103 FSM;", "");
    let monitor = judge("5x start every 5s .. 5s\neach cycle: log \"FSM\"", "1min", "", &broken, "30");
    assert_eq!(verdicts(&monitor), ["holds 20s", "violated 20s"]);
    // What comes after the block's end is not part of it.
    let broken = cycles.replace("21 log 104 FSM;", "");
    let monitor = judge("5x start every 5s .. 5s\neach cycle: log \"FSM\"", "1min", "", &broken, "30");
    assert_eq!(verdicts(&monitor), ["holds 20s", "holds 20s"]);
}

#[test]
fn events_in_order_may_have_others_between_them() {
    const CLAIM: &str = "in order: start, log /FSM .*ing/, [MANUAL] exit 0, listening 8000";
    check(&[
        (
            CLAIM,
            "",
            "1 start 100 x; 2 log 100 FSM Running; 3 log 100 more; 4 exit 7 0; 4 listening 100 8000",
            "4",
            "holds 4s",
        ),
        (CLAIM, "", "1 log 100 FSM Running; 2 start 100 x; 4 exit 7 0; 4 listening 100 8000", "59", "open"),
        (CLAIM, "", "1 log 100 FSM Running; 2 start 100 x; 4 exit 7 0; 4 listening 100 8000", "1min", "violated 1min"),
        (CLAIM, "", "1 start 100 x; 2 log 100 FSM Running; 4 exit 8 0; 4 listening 100 8000", "1min", "violated 1min"),
        ("in order: start", "0 start 99 x", "1min start 100 x", "1min", "holds 1min"),
        ("in order: start, start", "", "1 start 100 x", "1min", "violated 1min"),
    ]);
}

#[test]
fn eventually_is_decided_by_the_first_moment_that_is_so() {
    check(&[
        ("eventually unit.ActiveState = failed", "", "5 set a.service ActiveState=failed", "5", "holds 5s"),
        ("eventually unit.ActiveState = failed", "0 set a.service ActiveState=failed", "", "0", "holds 0"),
        ("eventually unit.ActiveState = failed", "", "5 set b.service ActiveState=failed", "59.999999", "open"),
        ("eventually unit.ActiveState = failed", "", "5 set b.service ActiveState=failed", "1min", "violated 1min"),
        // The last moment of the window belongs to it.
        ("eventually unit.ActiveState = failed within 5s", "", "5 set a.service ActiveState=failed", "5", "holds 5s"),
        (
            "eventually unit.ActiveState = failed within 5s",
            "",
            "5.000001 set a.service ActiveState=failed",
            "6",
            "violated 5s",
        ),
        ("eventually unit.ActiveState = failed within 5s", "", "", "4.999999", "open"),
        ("eventually unit.ActiveState = failed within 5s", "", "", "5", "violated 5s"),
        // A window of its own may outlast the budget.
        (
            "eventually unit.ActiveState = failed within 2min",
            "",
            "119 set a.service ActiveState=failed",
            "2min",
            "holds 1min 59s",
        ),
        // Both terms at one moment.
        (
            "eventually unit.ActiveState = active and port 8000 owner = unit",
            "",
            "1 set a.service ActiveState=active; 2 set a.service ActiveState=failed; 3 listening 100 8000",
            "1min",
            "violated 1min",
        ),
        (
            "eventually unit.ActiveState = active and port 8000 owner = unit",
            "",
            "1 set a.service ActiveState=active; 3 listening 100 8000",
            "4",
            "holds 3s",
        ),
    ]);
}

#[test]
fn always_is_violated_by_the_first_moment_that_is_not_so() {
    const CLAIM: &str = "always unit.ActiveState = active for 5s";
    const ACTIVE: &str = "0 set a.service ActiveState=active";
    check(&[
        (CLAIM, ACTIVE, "", "5", "holds 5s"),
        (CLAIM, ACTIVE, "", "4.999999", "open"),
        (CLAIM, ACTIVE, "5 set a.service ActiveState=failed", "5", "violated 5s"),
        (CLAIM, ACTIVE, "5.000001 set a.service ActiveState=failed", "6", "holds 5s"),
        (CLAIM, ACTIVE, "1 set a.service ActiveState=failed; 1 set a.service ActiveState=active", "5", "violated 1s"),
        (CLAIM, "", "", "0", "violated 0"),
        (CLAIM, "0 set a.service ActiveState=failed", "", "0", "violated 0"),
        ("always unit.ActiveState = active", ACTIVE, "", "1min", "holds 1min"),
        ("always unit.ActiveState = active", ACTIVE, "59 set a.service ActiveState=failed", "1min", "violated 59s"),
        // Whole cycles: the start that ends the second one ends the window, and is not in it.
        (
            "always unit.ActiveState = active for 2 cycles",
            ACTIVE,
            "1 start 100 x; 6 start 101 x; 11 start 102 x",
            "11",
            "holds 11s",
        ),
        (
            "always unit.ActiveState = active for 2 cycles",
            ACTIVE,
            "1 start 100 x; 6 start 101 x",
            "1min",
            "violated 1min",
        ),
        (
            "always unit.ActiveState = active for 2 cycles",
            ACTIVE,
            "0.5 set a.service ActiveState=failed; 1 start 100 x",
            "1",
            "violated 500ms",
        ),
        (
            "always processes \"uvicorn\" = 1 for 1 cycles",
            "0 start 99 uvicorn",
            "1 start 100 nginx; 6 start 101 uvicorn",
            "6",
            "holds 6s",
        ),
    ]);
}

#[test]
fn never_is_violated_by_the_first_time() {
    check(&[
        ("never listening 8000 for 5s", "", "", "4.999999", "open"),
        ("never listening 8000 for 5s", "", "", "5", "holds 5s"),
        ("never listening 8000 for 5s", "", "5 listening 100 8000", "5", "violated 5s"),
        ("never listening 8000 for 5s", "", "5.000001 listening 100 8000", "6", "holds 5s"),
        ("never listening 8000 for 5s", "0 listening 100 8000", "", "5", "holds 5s"),
        (
            "never listening 8000 for 5s",
            "",
            "1 listening 100 8001; 2 listening 7 8000; 3 listening 200 8000",
            "5",
            "holds 5s",
        ),
        ("never listening 8000", "", "", "59.999999", "open"),
        ("never listening 8000", "", "", "1min", "holds 1min"),
        ("never b.service listening 8000 for 5s", "", "3 listening 200 8000", "5", "violated 3s"),
        ("never [MANUAL] exit 143 for 5s", "", "3 exit 7 143", "5", "violated 3s"),
        (
            "never exit 1 for 3 cycles",
            "",
            "1 start 100 x; 2 start 101 x; 3 start 102 x; 4 start 103 x",
            "4",
            "holds 4s",
        ),
        (
            "never exit 1 for 3 cycles",
            "",
            "1 start 100 x; 2 start 101 x; 3 start 102 x; 3.5 exit 102 1; 4 start 103 x",
            "4",
            "violated 3.5s",
        ),
        // An absence in a loop that is not there proves nothing.
        ("never exit 1 for 3 cycles", "", "1 start 100 x; 2 start 101 x; 3 start 102 x", "1min", "violated 1min"),
        // Conditions.
        ("never unit.ActiveState = failed for 5s", "0 set a.service ActiveState=active", "", "5", "holds 5s"),
        ("never unit.ActiveState = failed for 5s", "0 set a.service ActiveState=failed", "", "0", "violated 0"),
        ("never unit.ActiveState = failed for 5s", "", "5 set a.service ActiveState=failed", "5", "violated 5s"),
        ("never port 8000 owners >= 2 for 5s", "0 listening 7 8000", "4 listening 100 8000", "5", "violated 4s"),
        // A property that nobody ever showed is a slip of the pen.
        ("never unit.ActivState = failed for 5s", "0 set a.service ActiveState=active", "", "5", "violated 5s"),
        ("never unit.Result >= 3 for 5s", "0 set a.service Result=success", "", "5", "violated 5s"),
    ]);
}

#[test]
fn numbers_of_events_have_bounds() {
    const TWO: &str = "1 start 100 x; 5 start 101 x";
    const THREE: &str = "1 start 100 x; 3 start 101 x; 5 start 102 x";
    check(&[
        ("exactly 2 start for 5s", "", TWO, "5", "holds 5s"),
        ("exactly 2 start for 5s", "", TWO, "4.999999", "open"),
        ("exactly 2 start for 5s", "", THREE, "5", "violated 5s"),
        ("exactly 2 start for 5s", "", "1 start 100 x; 5.000001 start 101 x", "6", "violated 5s"),
        ("exactly 0 start for 5s", "", "", "5", "holds 5s"),
        ("exactly 0 start for 5s", "", TWO, "5", "violated 1s"),
        ("exactly 2 start", "", TWO, "1min", "holds 1min"),
        ("at least 2 start for 5s", "", TWO, "5", "holds 5s"),
        ("at least 3 start for 5s", "", TWO, "5", "violated 5s"),
        ("at least 3 start", "", TWO, "59", "open"),
        ("at least 3 start", "", TWO, "1min", "violated 1min"),
        ("at most 2 start for 5s", "", TWO, "5", "holds 5s"),
        ("at most 2 start for 5s", "", THREE, "5", "violated 5s"),
        ("at most 0 start", "", "", "1min", "holds 1min"),
        // Whole cycles are counted from their first start on; the start that ends the last is not in it.
        (
            "exactly 2 log \"x\" for 2 cycles",
            "",
            "0 log 100 x; 1 start 100 p; 2 log 100 x; 3 start 101 p; 4 log 101 x; 5 start 102 p",
            "5",
            "holds 5s",
        ),
        ("exactly 2 start for 2 cycles", "", THREE, "5", "holds 5s"),
        (
            "at most 1 log \"x\" for 2 cycles",
            "",
            "1 start 100 p; 2 log 100 x; 3 start 101 p; 4 log 101 x",
            "4",
            "violated 4s",
        ),
        (
            "at least 1 log \"x\" for 2 cycles",
            "",
            "0 log 100 x; 1 start 100 p; 3 start 101 p; 5 start 102 p",
            "5",
            "violated 5s",
        ),
        ("exactly 2 start for 2 cycles", "", TWO, "1min", "violated 1min"),
    ]);
}

#[test]
fn an_outage_lasts_from_the_first_request_that_failed_to_the_first_that_did_not() {
    const TWO_SECONDS: &str = "1 get ok; 2 get refused; 3 get refused; 4 get ok; 5 get ok";
    check(&[
        ("outage <= 2s", "", TWO_SECONDS, "1min", "holds 1min"),
        ("outage <= 1.999999s", "", TWO_SECONDS, "1min", "violated 4s"),
        ("outage <= 0.5s", "", TWO_SECONDS, "1min", "violated 3s"),
        ("outage >= 2s", "", TWO_SECONDS, "1min", "holds 4s"),
        ("outage >= 2.000001s", "", TWO_SECONDS, "1min", "violated 1min"),
        ("outage = 2s", "", TWO_SECONDS, "1min", "holds 1min"),
        ("outage = 1s", "", TWO_SECONDS, "1min", "violated 4s"),
        ("outage = 3s", "", TWO_SECONDS, "1min", "violated 1min"),
        ("outage = 0s", "", "1 get ok; 2 get error", "1min", "holds 1min"),
        // A request that fails late has failed since it was sent.
        ("outage <= 3s", "", "1 get ok; 4 get timeout 2; 5 get ok", "1min", "holds 1min"),
        ("outage <= 2.9s", "", "1 get ok; 4 get timeout 2; 5 get ok", "1min", "violated 5s"),
        // Several outages add up.
        ("outage <= 2s", "", "1 get refused; 2 get ok; 3 get ok; 4 get reset; 5 get ok", "1min", "holds 1min"),
        ("outage <= 1.5s", "", "1 get refused; 2 get ok; 3 get ok; 4 get reset; 5 get ok", "1min", "violated 5s"),
        // One that was there before the block counts in full; one that does not end cannot be short.
        ("outage <= 4s", "", "3 get refused", "1min", "violated 1min"),
        ("outage <= 58s", "", "3 get refused", "1min", "violated 1min"),
        ("outage = 57s", "", "3 get refused", "1min", "violated 1min"),
        ("outage >= 57s", "", "3 get refused", "1min", "holds 1min"),
        // Without a client there is nothing to see.
        ("outage <= 4s", "", "", "1min", "violated 1min"),
    ]);
    let monitor = judge("outage <= 4s", "1min", "0 get refused", "2 get refused; 4.000001 get ok", "1min");
    assert_eq!(verdicts(&monitor), ["violated 4.000001s"]);
}

#[test]
fn an_outage_is_judged_as_long_as_the_block_lasts_and_until_it_is_over() {
    const CLAIMS: &str = "eventually unit.ActiveState = active\noutage <= 5s";
    let up = judge(CLAIMS, "1min", "", "1 get ok; 2 set a.service ActiveState=active; 3 get refused", "1min");
    assert_eq!(verdicts(&up), ["holds 2s", "holds 2s"]);
    let down = judge(CLAIMS, "1min", "", "1 get refused; 2 set a.service ActiveState=active; 3 get refused", "30");
    assert_eq!(verdicts(&down), ["holds 2s", "open"]);
    let back = judge(CLAIMS, "1min", "", "1 get refused; 2 set a.service ActiveState=active; 4 get ok", "30");
    assert_eq!(verdicts(&back), ["holds 2s", "holds 4s"]);
    let unseen = judge(CLAIMS, "1min", "", "2 set a.service ActiveState=active", "30");
    assert_eq!(verdicts(&unseen), ["holds 2s", "open"], "no request yet");
}
