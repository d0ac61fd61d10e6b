//! Machines in namespaces of their own. Where there can be none, these tests say why and pass; `RELAPSE_REQUIRE=systemd`
//! makes them fail.

use std::fs;
use std::path::Path;

use relapse::run::{Container, ContainerSetup, Unavailable};

fn boot(setup: &ContainerSetup) -> Option<Container> {
    match Container::boot(setup) {
        Ok(machine) => Some(machine),
        Err(Unavailable { what, remedy }) => {
            let required = std::env::var("RELAPSE_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|word| word == "systemd"), "{what}\n{remedy}");
            eprintln!("skipped: {what}");
            None
        }
    }
}

/// Whether a machine with systemd can be booted here; panics if it must be.
pub fn available() -> bool {
    boot(&setup()).is_some()
}

/// Whether a machine without a systemd can be made here; panics if it must be.
pub fn a_place_is_available() -> bool {
    boot(&ContainerSetup { systemd: false, ..setup() }).is_some()
}

fn setup() -> ContainerSetup {
    ContainerSetup::new(env!("CARGO_BIN_EXE_relapse").into())
}

fn answer(machine: &mut Container, line: &str) -> String {
    machine.run(&["/bin/sh", "-c", line]).expect("an answer").1
}

const UNIT: &str = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n";

#[test]
fn a_machine_boots_a_systemd_of_its_own_keeps_what_is_enabled_over_a_reboot_and_leaves_nothing() {
    let Some(mut machine) = boot(&setup()) else { return };
    fs::write(machine.below("/etc/systemd/system/a.service"), UNIT).expect("written");
    answer(&mut machine, "systemctl enable --now a.service");
    assert_eq!(answer(&mut machine, "systemctl is-active a.service"), "active\n");
    assert_eq!(
        answer(&mut machine, "sed -n 's/^0:://p' /proc/$(systemctl show -P MainPID a)/cgroup"),
        "/system.slice/a.service\n"
    );
    answer(&mut machine, "systemctl stop a.service; echo kept > /var/kept; echo lost > /run/lost; systemctl reboot");
    machine.reboot().expect("up again");
    assert_eq!(
        answer(&mut machine, "systemctl is-active a.service; cat /var/kept; ls /run/lost 2>&1"),
        "active\nkept\nls: cannot access '/run/lost': No such file or directory\n"
    );
    let (directory, cgroup) = (machine.directory().to_owned(), machine.cgroup().to_owned());
    assert!(directory.exists() && cgroup.exists());
    machine.end().expect("ended");
    assert!(!directory.exists() && !cgroup.exists());
}

#[test]
fn a_machine_has_its_own_network_users_and_processes_and_cannot_write_what_is_the_hosts() {
    let setup = ContainerSetup { users: vec!["ceeai".to_owned()], hostname: "web1".to_owned(), ..setup() };
    let Some(mut machine) = boot(&setup) else { return };
    assert_eq!(answer(&mut machine, "id -un ceeai; hostname; ls -d ~ceeai"), "ceeai\nweb1\n/home/ceeai\n");
    assert_eq!(answer(&mut machine, "ls /sys/class/net; cat /sys/class/net/lo/operstate"), "lo\nunknown\n");
    let processes = answer(&mut machine, "ls -d /proc/[0-9]* | wc -l");
    assert!(processes.trim().parse::<u32>().is_ok_and(|count| count < 20), "{processes}");
    for path in ["/usr/x", "/etc/x", "/proc/sys/kernel/x", "/sys/kernel/x"] {
        let line = format!("echo x 2>/dev/null >{path} || echo refused");
        assert_eq!(answer(&mut machine, &line), "refused\n", "{path}");
    }
    let devices = answer(&mut machine, "ls /dev");
    assert!(!devices.contains("kmsg") && devices.contains("null"), "{devices}");
}

#[test]
fn a_dropped_machine_is_gone() {
    let Some(machine) = boot(&ContainerSetup { systemd: false, ..setup() }) else { return };
    let (root, cgroup) = (machine.root(), machine.cgroup().to_owned());
    assert!(root.join("proc").exists());
    drop(machine);
    assert!(!root.join("proc").exists() && !cgroup.exists());
}

#[test]
fn without_systemd_the_reason_and_the_remedy_are_said() {
    let setup = ContainerSetup { distribution: Path::new("/nowhere").to_owned(), ..setup() };
    let Err(Unavailable { what, remedy }) = Container::boot(&setup) else { panic!("no such distribution") };
    assert_eq!(what, "no systemd is installed here: there is no /nowhere/usr/lib/systemd/systemd");
    assert_eq!(remedy, "install it (Debian: apt install systemd), or run with the embedded manager");
}
