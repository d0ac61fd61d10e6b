//! Enabling, disabling and masking, as recorded on 252, and in the words of 257.

use relapse::unit::install::{self, Change, Options, Outcome, UnitFileState, Verb, preset_enabled, unit_file_state};
use relapse::unit::{Files, Profile, name};

use crate::unit::report;

/// The machine of the recording.
fn machine() -> Files {
    let etc = |name: &str| format!("/etc/systemd/system/{name}");
    Files::of([
        (
            etc("g.service"),
            "[Service]\nExecStart=/bin/sleep 1000\n[Install]\nWantedBy=multi-user.target\nAlias=galias.service\n",
        ),
        (etc("gstatic.service"), "[Service]\nExecStart=/bin/sleep 1000\n"),
        (
            etc("gtmpl@.service"),
            "[Service]\nExecStart=/bin/sleep 100%i\n[Install]\nWantedBy=multi-user.target\nDefaultInstance=7\n",
        ),
        ("/usr/lib/systemd/system/multi-user.target".into(), "[Unit]\nDescription=Multi-User System\n"),
        ("/usr/lib/systemd/system/dbus.service".into(), "[Service]\nExecStart=/bin/dbus\n"),
    ])
}

const NOTHING_TO_ENABLE: &str = "The unit files have no installation config (WantedBy=, RequiredBy=, Also=,\n\
     Alias= settings in the [Install] section, and DefaultInstance= for template\n\
     units). This means they are not meant to be enabled using systemctl.\n \n\
     Possible reasons for having this kind of units are:\n\
     • A unit may be statically enabled by being symlinked from another unit's\n  .wants/ or .requires/ directory.\n\
     • A unit's purpose may be to act as a helper for some other unit which has\n  a requirement dependency on it.\n\
     • A unit may be started when needed via activation (socket, path, timer,\n  D-Bus, udev, scripted systemctl call, ...).\n\
     • In case of template units, the unit is meant to be enabled with some\n  instance name specified.";

#[derive(Clone, Copy)]
enum Step {
    Run(Verb, bool, &'static [&'static str], &'static str, u8),
    State(&'static str, &'static str),
}

fn play(profile: Profile, files: &mut Files, steps: &[Step]) -> Vec<String> {
    let mut failures = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        match *step {
            Step::Run(verb, runtime, names, stderr, code) => {
                let names: Vec<String> =
                    names.iter().map(|name| name::mangle(name, ".service").expect("a name").name).collect();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let options = Options { profile, runtime, ..Options::default() };
                let outcome = install::run(verb, files, &names, options);
                outcome.apply(files);
                if outcome.stderr.join("\n") != stderr || outcome.exit_code != code {
                    failures.push(format!(
                        "step {index}: {} {names:?}: wanted {stderr:?} {code}, got {outcome:#?}",
                        verb.as_str()
                    ));
                }
            }
            Step::State(name, wanted) => {
                let name = name::mangle(name, ".service").expect("a name").name;
                let state = unit_file_state(files, &name, profile);
                if state.as_str() != wanted {
                    failures.push(format!("step {index}: is-enabled {name}: wanted {wanted}, got {state}"));
                }
            }
        }
    }
    failures
}

#[test]
fn the_recorded_session_of_252_gives_the_same_symlinks_states_and_words() {
    use Step::{Run, State};
    use Verb::{Disable, Enable, Mask, Reenable, Unmask};
    let enabled = "Created symlink /etc/systemd/system/galias.service → /etc/systemd/system/g.service.\n\
                   Created symlink /etc/systemd/system/multi-user.target.wants/g.service → /etc/systemd/system/g.service.";
    let disabled = "Removed \"/etc/systemd/system/multi-user.target.wants/g.service\".\n\
                    Removed \"/etc/systemd/system/galias.service\".";
    let steps = [
        Run(Enable, false, &["nosuch"], "Failed to enable unit: Unit file nosuch.service does not exist.", 1),
        Run(Reenable, false, &["nosuch"], "Failed to reenable unit: Unit file nosuch.service does not exist.", 1),
        Run(
            Mask,
            false,
            &["nosuch"],
            "Unit nosuch.service does not exist, proceeding anyway.\n\
             Created symlink /etc/systemd/system/nosuch.service → /dev/null.",
            0,
        ),
        State("nosuch", "masked"),
        Run(Unmask, false, &["nosuch"], "Removed \"/etc/systemd/system/nosuch.service\".", 0),
        State("nosuch", "not-found"),
        State("g", "disabled"),
        Run(Enable, false, &["g"], enabled, 0),
        State("g", "enabled"),
        State("galias", "alias"),
        Run(Enable, false, &["g"], "", 0),
        Run(Disable, false, &["g"], disabled, 0),
        State("g", "disabled"),
        Run(Disable, false, &["g"], "", 0),
        State("gstatic", "static"),
        Run(Enable, false, &["gstatic"], NOTHING_TO_ENABLE, 0),
        Run(Disable, false, &["gstatic"], "", 0),
        Run(
            Enable,
            false,
            &["gtmpl@"],
            "Created symlink /etc/systemd/system/multi-user.target.wants/gtmpl@7.service → \
             /etc/systemd/system/gtmpl@.service.",
            0,
        ),
        State("gtmpl@", "enabled"),
        State("gtmpl@7", "enabled"),
        State("gtmpl@8", "disabled"),
        Run(
            Enable,
            false,
            &["gtmpl@a-b"],
            "Created symlink /etc/systemd/system/multi-user.target.wants/gtmpl@a-b.service → \
             /etc/systemd/system/gtmpl@.service.",
            0,
        ),
        Run(
            Disable,
            false,
            &["gtmpl@", "gtmpl@a-b"],
            "Removed \"/etc/systemd/system/multi-user.target.wants/gtmpl@a-b.service\".\n\
             Removed \"/etc/systemd/system/multi-user.target.wants/gtmpl@7.service\".",
            0,
        ),
        Run(
            Mask,
            false,
            &["gstatic"],
            "Failed to mask unit: File /etc/systemd/system/gstatic.service already exists.",
            1,
        ),
        Run(Unmask, false, &["gstatic"], "", 0),
        // A runtime mask does not beat a file in /etc.
        Run(Mask, true, &["gstatic"], "Created symlink /run/systemd/system/gstatic.service → /dev/null.", 0),
        State("gstatic", "static"),
        Run(Unmask, true, &["gstatic"], "Removed \"/run/systemd/system/gstatic.service\".", 0),
        Run(Mask, false, &["dbus"], "Created symlink /etc/systemd/system/dbus.service → /dev/null.", 0),
        State("dbus", "masked"),
        Run(
            Enable,
            false,
            &["dbus"],
            "Failed to enable unit: Unit file /etc/systemd/system/dbus.service is masked.",
            1,
        ),
    ];
    let failures = play(Profile::V252, &mut machine(), &steps);
    report(&failures, steps.len());
}

#[test]
fn the_words_of_257_quote_and_say_no_full_stop_after_an_error() {
    use Step::Run;
    use Verb::{Disable, Enable, Mask};
    let steps = [
        Run(
            Enable,
            false,
            &["g"],
            "Created symlink '/etc/systemd/system/galias.service' → '/etc/systemd/system/g.service'.\n\
             Created symlink '/etc/systemd/system/multi-user.target.wants/g.service' → '/etc/systemd/system/g.service'.",
            0,
        ),
        Run(
            Disable,
            false,
            &["g"],
            "Removed '/etc/systemd/system/multi-user.target.wants/g.service'.\nRemoved '/etc/systemd/system/galias.service'.",
            0,
        ),
        Run(Enable, false, &["nosuch"], "Failed to enable unit: Unit nosuch.service does not exist", 1),
        Run(Mask, false, &["g"], "Failed to mask unit: File '/etc/systemd/system/g.service' already exists", 1),
    ];
    let failures = play(Profile::V257, &mut machine(), &steps);
    report(&failures, steps.len());
}

fn run(files: &Files, verb: Verb, names: &[&str]) -> Outcome {
    install::run(verb, files, names, Options::default())
}

#[test]
fn also_aliases_and_templates_are_enabled_together_and_disabled_together() {
    let mut files = Files::of([
        (
            "/etc/systemd/system/web@.service",
            "[Service]\nExecStart=/bin/x\n[Install]\nWantedBy=%i.target\nAlias=www@.service\nAlso=web.socket\n",
        ),
        ("/etc/systemd/system/web.socket", "[Socket]\nListenStream=80\n[Install]\nWantedBy=sockets.target\n"),
        ("/usr/lib/systemd/system/sockets.target", "[Unit]\n"),
        ("/usr/lib/systemd/system/a.target", "[Unit]\n"),
    ]);
    let outcome = run(&files, Verb::Enable, &["web@a.service"]);
    let made: Vec<&str> = outcome
        .changes
        .iter()
        .map(|change| match change {
            Change::Symlink { path, .. } | Change::Remove { path } => path.as_str(),
        })
        .collect();
    assert_eq!(
        made,
        [
            "/etc/systemd/system/www@a.service",
            "/etc/systemd/system/a.target.wants/web@a.service",
            "/etc/systemd/system/sockets.target.wants/web.socket",
        ]
    );
    assert!(outcome.reload);
    outcome.apply(&mut files);
    assert_eq!(unit_file_state(&files, "web.socket", Profile::V252), UnitFileState::Enabled);
    // Disabling the instance leaves its alias, which points at the template; disabling the template takes both.
    run(&files, Verb::Disable, &["web@a.service"]).apply(&mut files);
    assert!(files.entries.contains_key("/etc/systemd/system/www@a.service"));
    run(&files, Verb::Disable, &["web@.service"]).apply(&mut files);
    assert_eq!(files.entries.len(), 4, "{:?}", files.entries.keys());
}

#[test]
fn a_template_without_an_instance_cannot_be_wanted_by_a_target() {
    let files = Files::of([("/etc/systemd/system/t@.service", "[Install]\nWantedBy=multi-user.target\n")]);
    let outcome = run(&files, Verb::Enable, &["t@.service"]);
    assert_eq!(outcome.stderr, ["Failed to enable unit: Destination unit multi-user.target is a non-template unit."]);
    assert_eq!(outcome.exit_code, 1);
    assert_eq!(outcome.changes, []);
}

#[test]
fn a_broken_section_header_makes_the_file_bad_for_systemctl_too() {
    let files = Files::of([("/etc/systemd/system/x.service", "[Service\n[Install]\nWantedBy=multi-user.target\n")]);
    let outcome = run(&files, Verb::Enable, &["x.service"]);
    assert_eq!(outcome.stderr, ["Failed to enable unit: File x.service: Bad message"]);
    assert_eq!(unit_file_state(&files, "x.service", Profile::V252), UnitFileState::Bad);
    assert_eq!(outcome.warnings[0].text, "Invalid section header '[Service'");
}

#[test]
fn every_kind_of_place_has_its_state() {
    let install = "[Install]\nWantedBy=multi-user.target\n";
    let mut files = Files::of([
        ("/opt/linked.service", install),
        ("/opt/linked-runtime.service", install),
        ("/run/systemd/generator/generated.service", install),
        ("/run/systemd/transient/transient.service", install),
        ("/etc/systemd/system/masked-empty.service", ""),
        ("/usr/lib/systemd/system/runtime.service", install),
        ("/usr/lib/systemd/system/indirect.service", "[Install]\nAlso=runtime.service\n"),
        ("/usr/lib/systemd/system/used.service", install),
        ("/usr/lib/systemd/system/inst@.service", install),
    ]);
    for (path, target) in [
        ("/etc/systemd/system/linked.service", "/opt/linked.service"),
        ("/run/systemd/system/linked-runtime.service", "/opt/linked-runtime.service"),
        ("/run/systemd/system/masked-runtime.service", "/dev/null"),
        ("/run/systemd/system/multi-user.target.wants/runtime.service", "/usr/lib/systemd/system/runtime.service"),
        ("/etc/systemd/system/other.service", "/usr/lib/systemd/system/used.service"),
        ("/usr/lib/systemd/system/multi-user.target.wants/inst@1.service", "../inst@.service"),
        ("/etc/systemd/system/loop.service", "loop.service"),
        ("/etc/systemd/system/gone.service", "/usr/lib/systemd/system/nosuch.service"),
    ] {
        files.symlink(path, target);
    }
    let rows = [
        ("linked.service", "linked"),
        ("linked-runtime.service", "linked-runtime"),
        ("generated.service", "generated"),
        ("transient.service", "transient"),
        ("masked-empty.service", "masked"),
        ("masked-runtime.service", "masked-runtime"),
        ("runtime.service", "enabled-runtime"),
        ("indirect.service", "indirect"),
        ("used.service", "indirect"),
        ("other.service", "alias"),
        ("inst@1.service", "static"),
        ("inst@2.service", "disabled"),
        ("loop.service", "bad"),
        ("gone.service", "bad"),
        ("nosuch.service", "not-found"),
    ];
    let failures: Vec<String> = rows
        .iter()
        .filter_map(|(name, wanted)| {
            let state = unit_file_state(&files, name, Profile::V252);
            (state.as_str() != *wanted).then(|| format!("{name}: wanted {wanted}, got {state}"))
        })
        .collect();
    report(&failures, rows.len());
}

#[test]
fn everything_is_enabled_by_preset_unless_a_rule_says_otherwise() {
    let files = Files::of([
        (
            "/usr/lib/systemd/system-preset/90-systemd.preset",
            "# c\nenable getty@.service tty1\ndisable console-*.service\n",
        ),
        ("/etc/systemd/system-preset/10-local.preset", "enable console-good.service\ndisable x[0-9].service\n"),
    ]);
    let rows = [
        ("lumiera-whatsapp.service", true),
        ("console-getty.service", false),
        ("console-good.service", true),
        ("x1.service", false),
        ("xy.service", true),
        ("getty@tty1.service", true),
    ];
    for (name, wanted) in rows {
        assert_eq!(preset_enabled(&files, name), wanted, "{name}");
    }
}

#[test]
fn patterns_match_as_in_the_shell() {
    let rows = [
        ("*.service", "a.service", true),
        ("a*b*c", "aXbYbZc", true),
        ("a*b*c", "aXbYbZ", false),
        ("?.service", "a.service", true),
        ("?.service", ".service", false),
        ("[a-c]x", "bx", true),
        ("[!a-c]x", "bx", false),
        ("[]]x", "]x", true),
        ("[ab", "[ab", true),
        ("", "", true),
        ("*", "", true),
    ];
    for (pattern, text, wanted) in rows {
        assert_eq!(name::glob_matches(pattern, text), wanted, "{pattern} {text}");
    }
    // Many stars must not take exponential time.
    assert!(!name::glob_matches(&format!("{}c", "a*".repeat(200)), &"a".repeat(2000)));
}
