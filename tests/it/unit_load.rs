//! Which files make up a unit: search path, aliases, masks, templates, drop-ins, and no end-less loops.

use std::fmt::Write as _;

use relapse::unit::{Context, FileEntry, Files, LoadState, Loader, Profile, Unit, load};

fn service(mark: &str) -> String {
    format!("[Unit]\nDescription={mark}\n[Service]\nExecStart=/bin/true\nEnvironment=SEEN_{mark}=1\n")
}

fn drop_in(mark: &str) -> String {
    format!("[Service]\nEnvironment=SEEN_{mark}=1\n")
}

/// The marks of the files that were read, in order.
fn seen(unit: &Unit) -> String {
    let marks = unit.service.iter().flat_map(|service| &service.environment);
    marks.map(|(name, _)| name.trim_start_matches("SEEN_")).collect::<Vec<_>>().join(" ")
}

fn load252(files: &Files, name: &str) -> Unit {
    load(files, name, Profile::V252)
}

#[test]
fn the_first_directory_with_the_name_wins() {
    let order = [
        "/etc/systemd/system.control",
        "/run/systemd/transient",
        "/etc/systemd/system",
        "/run/systemd/system",
        "/usr/local/lib/systemd/system",
        "/usr/lib/systemd/system",
        "/run/systemd/generator.late",
    ];
    for (index, dir) in order.iter().enumerate() {
        let files = Files::of(order[index..].iter().map(|dir| (format!("{dir}/x.service"), service("x"))));
        let unit = load252(&files, "x.service");
        assert_eq!(unit.fragment_path.as_deref(), Some(format!("{dir}/x.service").as_str()));
    }
}

#[test]
fn drop_ins_of_all_directories_apply_in_the_order_of_their_file_names() {
    let files = Files::of([
        ("/etc/systemd/system/a-b-c.service", service("fragment")),
        ("/etc/systemd/system/a-b-c.service.d/20-own.conf", drop_in("own")),
        ("/usr/lib/systemd/system/a-b-.service.d/10-prefix.conf", drop_in("prefix")),
        ("/usr/lib/systemd/system/a-.service.d/30-shorter.conf", drop_in("shorter")),
        ("/run/systemd/system/service.d/15-all.conf", drop_in("all")),
        ("/etc/systemd/system/a-b-c.service.d/ignored.txt", drop_in("text")),
        // Of one name the highest directory counts, before the more specific one.
        ("/usr/lib/systemd/system/a-b-c.service.d/40-twice.conf", drop_in("wrong")),
        ("/etc/systemd/system/a-.service.d/40-twice.conf", drop_in("right")),
        ("/etc/systemd/system/b.service.d/10-other.conf", drop_in("other")),
    ]);
    let unit = load252(&files, "a-b-c.service");
    assert_eq!(seen(&unit), "fragment prefix all own shorter right");
    assert_eq!(
        unit.drop_in_paths,
        [
            "/usr/lib/systemd/system/a-b-.service.d/10-prefix.conf",
            "/run/systemd/system/service.d/15-all.conf",
            "/etc/systemd/system/a-b-c.service.d/20-own.conf",
            "/usr/lib/systemd/system/a-.service.d/30-shorter.conf",
            "/etc/systemd/system/a-.service.d/40-twice.conf",
        ]
    );
}

#[test]
fn a_drop_in_changes_scalars_and_resets_lists() {
    let files = Files::of([
        (
            "/etc/systemd/system/x.service",
            "[Service]\nType=oneshot\nExecStart=/bin/old\nSuccessExitStatus=1 2\nRestartSec=5\n",
        ),
        (
            "/etc/systemd/system/x.service.d/a.conf",
            "[Service]\nExecStart=\nExecStart=/bin/new\nSuccessExitStatus=\nSuccessExitStatus=3\nRestartSec=7\n",
        ),
    ]);
    let service = load252(&files, "x.service").service.expect("a service");
    assert_eq!(service.exec_start.len(), 1);
    assert_eq!(service.exec_start[0].path, "/bin/new");
    assert_eq!(service.success_exit_status.codes, [3]);
    assert_eq!(service.restart_sec.to_string(), "7s");
}

#[test]
fn an_error_in_a_drop_in_ends_that_drop_in_and_nothing_else() {
    let files = Files::of([
        ("/etc/systemd/system/x.service", service("fragment")),
        ("/etc/systemd/system/x.service.d/a.conf", "[Service]\nExecStartPre=bin/sh\nEnvironment=SEEN_lost=1\n".into()),
        ("/etc/systemd/system/x.service.d/b.conf", drop_in("b")),
    ]);
    let unit = load252(&files, "x.service");
    assert_eq!(unit.load_state, LoadState::Loaded);
    assert_eq!(seen(&unit), "fragment b");
    assert_eq!(unit.warnings.len(), 1);
    assert_eq!(unit.warnings[0].priority, 3);
}

#[test]
fn a_symlink_to_null_and_an_empty_file_mask_a_unit() {
    let mut files = Files::of([
        ("/usr/lib/systemd/system/linked.service", service("x")),
        ("/usr/lib/systemd/system/empty.service", service("x")),
        ("/etc/systemd/system/empty.service", String::new()),
        ("/etc/systemd/system/kept.service", service("kept")),
    ]);
    files.symlink("/etc/systemd/system/linked.service", "/dev/null");
    // A runtime mask does not beat a file in /etc.
    files.symlink("/run/systemd/system/kept.service", "/dev/null");
    for name in ["linked.service", "empty.service"] {
        let unit = load252(&files, name);
        assert_eq!(unit.load_state, LoadState::Masked, "{name}");
        assert_eq!(unit.load_error.as_deref(), Some(format!("Unit {name} is masked.").as_str()));
    }
    assert_eq!(load252(&files, "kept.service").load_state, LoadState::Loaded);
    // A file with nothing but a newline is not a mask; it is a service without a command.
    files.insert("/etc/systemd/system/blank.service", "\n");
    assert_eq!(load252(&files, "blank.service").load_state, LoadState::BadSetting);
}

#[test]
fn an_alias_loads_the_unit_under_its_own_name_with_the_drop_ins_of_both() {
    let mut files = Files::of([
        ("/usr/lib/systemd/system/real.service", service("fragment")),
        ("/etc/systemd/system/other.service.d/a.conf", drop_in("alias")),
        ("/etc/systemd/system/real.service.d/b.conf", drop_in("own")),
    ]);
    files.symlink("/etc/systemd/system/other.service", "/usr/lib/systemd/system/real.service");
    files.symlink("/etc/systemd/system/third.service", "other.service");
    for name in ["real.service", "other.service", "third.service"] {
        let unit = load252(&files, name);
        assert_eq!(unit.name, "real.service");
        assert_eq!(unit.aliases, ["other.service", "third.service"]);
        assert_eq!(seen(&unit), "fragment alias own", "by {name}");
    }
}

#[test]
fn an_instance_reads_its_template_and_both_ones_drop_ins() {
    let files = Files::of([
        (
            "/etc/systemd/system/web@.service",
            "[Unit]\nDescription=%p %i %I %n %j %f\n[Service]\nExecStart=/bin/x %i\n".into(),
        ),
        ("/etc/systemd/system/web@.service.d/a.conf", drop_in("template")),
        ("/etc/systemd/system/web@a-b.service.d/b.conf", drop_in("instance")),
        ("/etc/systemd/system/web@own.service", service("own")),
    ]);
    let unit = load252(&files, "web@a-b.service");
    assert_eq!(unit.description(), "web a-b a/b web@a-b.service web /a/b");
    assert_eq!(unit.fragment_path.as_deref(), Some("/etc/systemd/system/web@.service"));
    assert_eq!(seen(&unit), "template instance");
    assert_eq!(unit.service.expect("a service").exec_start[0].argv, ["/bin/x", "a-b"]);
    assert_eq!(seen(&load252(&files, "web@own.service")), "own template");
    let bare = load252(&files, "web@.service");
    assert_eq!(bare.load_state, LoadState::Error);
    assert_eq!(bare.load_error.as_deref(), Some("Unit name web@.service is missing the instance name."));
}

#[test]
fn what_is_not_there_is_not_found() {
    let mut files = Files::default();
    files.symlink("/etc/systemd/system/dangling.service", "/opt/nothing.service");
    for name in ["nosuch.service", "dangling.service"] {
        let unit = load252(&files, name);
        assert_eq!(unit.load_state, LoadState::NotFound, "{name}");
        assert_eq!(unit.load_error.as_deref(), Some(format!("Unit {name} not found.").as_str()));
        assert!(unit.service.is_some(), "a unit that is not there still has properties");
    }
    assert_eq!(load252(&files, "no suffix").load_state, LoadState::Error);
}

#[test]
fn symlinks_in_wants_directories_tie_units_together() {
    let mut files = Files::of([
        ("/etc/systemd/system/x.service", service("x")),
        ("/usr/lib/systemd/system/multi-user.target", "[Unit]\nDescription=Multi-User System\n".into()),
    ]);
    files.symlink("/etc/systemd/system/multi-user.target.wants/x.service", "/etc/systemd/system/x.service");
    files.symlink("/etc/systemd/system/multi-user.target.requires/y.service", "/etc/systemd/system/y.service");
    files.symlink("/etc/systemd/system/multi-user.target.wants/masked.service", "/dev/null");
    let unit = load252(&files, "x.service");
    assert_eq!(unit.wanted_by, ["multi-user.target"]);
    assert_eq!(unit.required_by, Vec::<String>::new());
    let target = load252(&files, "multi-user.target");
    assert_eq!(target.wants, ["x.service"]);
    assert_eq!(target.requires, ["y.service"]);
}

#[test]
fn symlinks_that_lead_in_circles_end() {
    let mut files = Files::default();
    let count = 3000;
    for index in 0..count {
        let next = (index + 1) % count;
        files.symlink(format!("/etc/systemd/system/l{index}.service"), format!("l{next}.service"));
        files.symlink(format!("/opt/l{index}"), format!("/opt/l{next}"));
    }
    files.symlink("/etc/systemd/system/self.service", "self.service");
    files.symlink("/etc/systemd/system/out.service", "/opt/l0");
    files.symlink("/etc/systemd/system/deep.service.d", "/etc/systemd/system/deep.service.d");
    files.insert("/etc/systemd/system/deep.service", service("deep"));
    for name in ["l0.service", "self.service", "out.service"] {
        assert_eq!(load252(&files, name).load_state, LoadState::NotFound, "{name}");
    }
    assert_eq!(seen(&load252(&files, "deep.service")), "deep");
}

#[test]
fn directories_may_be_symlinks() {
    let mut files = Files::of([("/usr/share/units/x.service", service("x")), ("/usr/share/drop/a.conf", drop_in("a"))]);
    files.symlink("/usr/local/lib/systemd/system", "../../../share/units");
    files.symlink("/etc/systemd/system/x.service.d", "/usr/share/drop");
    assert_eq!(
        files.canonical("/usr/local/lib/systemd/system/x.service").as_deref(),
        Some("/usr/share/units/x.service")
    );
    assert_eq!(seen(&load252(&files, "x.service")), "x a");
}

#[test]
fn another_machine_has_other_specifiers() {
    let context = Context { host_name: "web1.example.org".into(), boot_id: "b".repeat(32), ..Context::default() };
    let loader = Loader::new(Profile::V252).context(context);
    let unit = loader.parse("x.service", b"[Unit]\nDescription=%H %l %b %u %t %%\n[Service]\nExecStart=/bin/true\n");
    assert_eq!(unit.description(), format!("web1.example.org web1 {} root /run %", "b".repeat(32)));
}

#[test]
fn a_written_file_has_a_new_generation() {
    let mut files = Files::of([("/etc/x", "1")]);
    files.insert("/etc/x", "2");
    let FileEntry::Regular { content, generation } = &files.entries["/etc/x"] else { panic!("not a file") };
    assert_eq!((content.as_slice(), *generation), (b"2".as_slice(), 1));
}

#[test]
fn ten_thousand_drop_ins_and_a_line_of_a_mebibyte_are_read() {
    let mut files = Files::of([("/etc/systemd/system/x.service", service("fragment"))]);
    for index in 0..10_000 {
        files.insert(format!("/etc/systemd/system/x.service.d/{index:05}.conf"), "[Service]\nRestartSec=1\n");
    }
    let unit = load252(&files, "x.service");
    assert_eq!(unit.drop_in_paths.len(), 10_000);

    let long = |length: usize| format!("[Service]\nExecStart=/bin/true\n#{}\n", "x".repeat(length));
    assert_eq!(Unit::parse("x.service", long(1024 * 1024 - 1), Profile::V252).load_state, LoadState::Loaded);
    let unit = Unit::parse("x.service", long(1024 * 1024), Profile::V252);
    assert_eq!(unit.load_state, LoadState::Error);
    assert!(unit.load_error.expect("a reason").ends_with(": No buffer space available"));

    // A value made of many short lines is limited too.
    let mut continued = String::from("[Service]\nExecStart=/bin/true\nDescription=");
    for _ in 0..70_000 {
        let _ = writeln!(continued, "0123456789abcde\\");
    }
    assert_eq!(Unit::parse("x.service", continued, Profile::V252).load_state, LoadState::Error);
}
