//! Unit files read as systemd 252 read them, from the recorded tables.

use relapse::unit::{LoadState, Profile, Restart, Unit};

/// The unit file of the incident report, whose comments after values make systemd ignore them.
#[test]
fn the_reported_unit_never_restarts_because_of_its_inline_comments() {
    let text = "[Unit]\nDescription=Lumiera\n[Service]\nExecStart=/bin/true\n\
                Restart=always          # Auto-restart on real crashes\nRestartSec=10          # Wait before restart\n";
    let unit = Unit::parse("lumiera-whatsapp.service", text, Profile::V252);
    let service = unit.service.as_ref().expect("a service");
    assert_eq!(unit.load_state, LoadState::Loaded);
    assert_eq!(service.restart, Restart::No);
    assert_eq!(service.restart_sec.to_string(), "100ms");
    let messages: Vec<String> = unit.warnings.iter().map(|warning| warning.message()).collect();
    assert_eq!(
        messages,
        [
            "/etc/systemd/system/lumiera-whatsapp.service:5: Failed to parse service restart specifier, ignoring: \
             always          # Auto-restart on real crashes",
            "/etc/systemd/system/lumiera-whatsapp.service:6: Failed to parse sec value, ignoring: 10          # Wait \
             before restart",
        ]
    );
}
