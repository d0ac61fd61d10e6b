//! Where the commands of 252 and of later versions differ (systemctl(1), journalctl(1)).

use relapse::time::IncidentTime;
use relapse::unit::Profile;

use crate::journalctl::{incident, run};
use crate::systemctl_stage::Stage;

const ALL: [Profile; 3] = [Profile::V252, Profile::V257, Profile::V260];

fn unknown() -> Stage {
    Stage::at("16:48:00").shown("Id=x.service\nLoadState=not-found\nActiveState=inactive\nSubState=dead")
}

fn stdout(args: &[&str], profile: Profile) -> String {
    let output = run(args, profile, IncidentTime::NEVER, &incident());
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn an_unknown_unit_is_inactive_in_252_and_unknown_since_253() {
    for profile in ALL {
        let newer = profile != Profile::V252;
        for (verb, old, new) in [("is-active", 3, 4), ("is-failed", 1, 4)] {
            let (output, _) = unknown().run(&format!("systemctl {verb} x"), profile);
            assert_eq!(output.code, if newer { new } else { old }, "{verb} {profile:?}");
            assert_eq!(output.stdout, b"inactive\n", "{verb} {profile:?}");
        }
        // One unit that is known is enough.
        let mut stage = unknown().unit("y.service", "ActiveState=failed\nSubState=failed");
        assert_eq!(stage.run("systemctl is-active x y", profile).0.code, 3, "{profile:?}");
    }
}

#[test]
fn since_and_a_number_are_the_first_lines_in_252_and_the_last_since_253() {
    let all = stdout(&["-o", "cat", "--since", "2026-11-23 16:42:00"], Profile::V252);
    let lines: Vec<&str> = all.lines().collect();
    assert!(lines.len() > 10, "there is something to choose from");
    for profile in ALL {
        let some = stdout(&["-o", "cat", "--since", "2026-11-23 16:42:00", "-n", "3"], profile);
        let wanted = if profile == Profile::V252 { &lines[..3] } else { &lines[lines.len() - 3..] };
        assert_eq!(some.lines().collect::<Vec<_>>(), wanted, "{profile:?}");
        let last = stdout(&["-o", "cat", "-n", "3"], profile);
        assert_eq!(last.lines().collect::<Vec<_>>(), &lines[lines.len() - 3..], "{profile:?}: without --since");
    }
}

#[test]
fn an_iso_timestamp_has_a_colon_in_its_offset_in_newer_versions() {
    for profile in ALL {
        for format in ["short-iso", "short-iso-precise"] {
            let first = stdout(&["-o", format, "-n", "1"], profile);
            let stamp = first.split(' ').next().expect("a timestamp");
            let offset = if profile == Profile::V252 { "+0000" } else { "+00:00" };
            assert!(stamp.ends_with(offset), "{profile:?} {format}: {stamp}");
        }
    }
}

#[test]
fn status_shows_the_invocation_since_256() {
    let id = "0123456789abcdef0123456789abcdef";
    for profile in ALL {
        let mut stage = Stage::at("16:48:00")
            .unit("x.service", &format!("ActiveState=active\nSubState=running\nInvocationID={id}\nMainPID=7"));
        let (output, _) = stage.run("systemctl status x", profile);
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let shown = text.contains(&format!(" Invocation: {id}\n"));
        assert_eq!(shown, profile != Profile::V252, "{profile:?}: {text}");
    }
}

#[test]
fn the_legend_of_the_unit_list_is_drawn_anew_in_257() {
    for profile in ALL {
        let mut stage = Stage::at("16:48:00").unit("x.service", "ActiveState=active\nSubState=running\nDescription=X");
        let (output, _) = stage.run("systemctl list-units", profile);
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let old = text.contains("LOAD   = Reflects whether the unit definition was properly loaded.");
        let new = text.contains("Legend: LOAD   → Reflects whether the unit definition was properly loaded.");
        assert_eq!((old, new), (profile == Profile::V252, profile != Profile::V252), "{profile:?}: {text}");
    }
}
