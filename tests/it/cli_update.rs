//! `relapse run --update`.

use std::fs;

use crate::cli::{FIX, LOOP, Shelf, document, stderr};

const STALE: &str = r#"# Stale

Prose with `$ echo prose` in it.

```toml scenario
kind = "behaviour"
clock = 2026-01-16T12:00:00
```

```console
$ date +%T; echo kept
12:34:56
kept
$ echo nothing was here
$ echo [..] still matches; false
[..] matches
? 1
$ printf 'first\nsecond\nthird\n'
first
...
$ true
no longer printed
```

```expect
always port 9999 owner = none for 1s # a claim
```

```console
$ echo last
old
```

```expect
always port 9999 owner = none for 1s
```
"#;

#[test]
fn update_rewrites_outputs_and_nothing_else_and_then_there_is_nothing_to_do() {
    let shelf = Shelf::new(&[("stale.md", STALE)]);
    shelf.relapse(&["run", "stale.md"]).code(1);
    assert_eq!(shelf.read("stale.md"), STALE, "without --update nothing is written");
    let first = shelf.relapse(&["run", "--update", "stale.md"]).code(0);
    assert!(stderr(&first).contains("stale.md: outputs rewritten"), "{}", stderr(&first));
    let fresh = STALE
        .replace("12:34:56", "12:00:00")
        .replace("$ echo nothing was here\n", "$ echo nothing was here\nnothing was here\n")
        .replace("$ true\nno longer printed\n", "$ true\n")
        .replace("$ echo last\nold\n", "$ echo last\nlast\n");
    assert_eq!(shelf.read("stale.md"), fresh);
    let second = shelf.relapse(&["run", "--update", "stale.md"]).code(0);
    assert!(!stderr(&second).contains("rewritten"), "{}", stderr(&second));
    assert_eq!(shelf.read("stale.md"), fresh);
    shelf.relapse(&["run", "stale.md"]).code(0);
}

#[test]
fn update_leaves_an_extended_document_alone_and_violations_violated() {
    let looped = LOOP.replace("$ systemctl start app\n", "$ systemctl start app; echo started\nold\n");
    let fix = FIX.replace("$ systemctl stop app\n", "$ systemctl stop app; echo stopped\nold\n");
    let shelf = Shelf::new(&[("loop.md", &looped), ("fix.md", &fix)]);
    shelf.relapse(&["run", "--update", "fix.md"]).code(3);
    assert_eq!((shelf.read("loop.md"), shelf.read("fix.md")), (looped, fix));
    let bad = document("Bad", "$ echo x\nold\n$ false", "eventually port 9 owner != none within 1s");
    fs::write(shelf.path("bad.md"), &bad).expect("a file");
    shelf.relapse(&["run", "--update", "bad.md"]).code(1);
    assert_eq!(shelf.read("bad.md"), bad.replace("old", "x"), "an exit status is a claim of the writer");
}
