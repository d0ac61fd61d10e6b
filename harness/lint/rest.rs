//! What systemd says and no rule has explained, and what is missing altogether.

use super::rules::{self, Rule, Severity};
use super::sheet::Sheet;
use super::{MOST_FINDINGS, Spot};
use crate::unit::{ItemKind, LoadState, Restart, UnitType, Warning, name};

pub(super) fn look(sheet: &mut Sheet<'_>) {
    no_install(sheet);
    lines(sheet);
    whole(sheet);
}

/// Remarks about lines.
fn lines(sheet: &mut Sheet<'_>) {
    let mut rows: Vec<(usize, u32, Warning)> = Vec::new();
    for (file, line) in sheet.warned() {
        if sheet.is_explained(file, line) || rows.len() > MOST_FINDINGS {
            continue;
        }
        // The same may be said of several words; one of them is enough, the worst.
        let said = sheet.warnings_at(file, line);
        rows.extend(
            said.into_iter().min_by_key(|warning| warning.priority).map(|warning| (file, line, warning.clone())),
        );
    }
    let refused = sheet.unit.load_state != LoadState::Loaded;
    for (file, line, warning) in rows {
        let item = sheet.files.get(file).and_then(|file| {
            let at = file.outline.items.partition_point(|item| item.line < line);
            file.outline.items.get(at).filter(|item| item.line == line)
        });
        let key = item.filter(|item| item.kind == ItemKind::Assignment).map(|item| item.key.clone());
        let spot = Spot { file, span: item.map(|item| item.span()).unwrap_or_default() };
        let fatal = warning.priority <= 3 && refused;
        let (rule, severity): (&'static Rule, Severity) = match warning.priority {
            _ if fatal => (&rules::REFUSED, Severity::Error),
            0..=4 if key.is_some() => (&rules::BAD_VALUE, Severity::Error),
            0..=4 => (&rules::SYSTEMD_WARNS, Severity::Warning),
            _ => (&rules::SYSTEMD_WARNS, Severity::Note),
        };
        let said = cut(&warning.text);
        let message = if fatal {
            format!("systemd refuses the unit because of this line (it says: {said})")
        } else {
            format!("systemd says: {said}")
        };
        let label = key.map_or_else(String::new, |key| format!("in {key}="));
        sheet.add(rule, severity, spot, message, &label, None);
    }
}

fn cut(text: &str) -> String {
    const LONGEST: usize = 200;
    let short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

/// Remarks about the unit as a whole.
fn whole(sheet: &mut Sheet<'_>) {
    let said: Vec<Warning> =
        sheet.unit.warnings.iter().filter(|warning| warning.line.is_none()).take(50).cloned().collect();
    let state = sheet.unit.load_state;
    for warning in said {
        let text = &warning.text;
        // The line that is to blame has been named.
        if text.starts_with("Unit configuration has fatal error") {
            continue;
        }
        if text.contains("RestartSteps=") || text.contains("RestartMaxDelaySec= has a value smaller") {
            let spot = sheet.place(&["RestartSteps", "RestartMaxDelaySec"]);
            let delay = sheet.property("RestartSec").map(|(_, value)| value).unwrap_or_default();
            let message = format!("the delay does not grow, each restart waits {delay} (systemd says: {})", cut(text));
            let fix = Some("RestartSteps=5\nRestartMaxDelaySec=5min".to_owned());
            sheet.found(&rules::STEPS, spot, message, "does nothing alone", fix);
            continue;
        }
        let spot = sheet.header();
        if warning.priority <= 3 && state == LoadState::BadSetting {
            let message = format!("systemd refuses the unit: {}", cut(text));
            sheet.found(&rules::REFUSED, spot, message, "cannot be loaded", None);
        } else {
            let severity = if warning.priority <= 4 { Severity::Warning } else { Severity::Note };
            sheet.add(&rules::SYSTEMD_WARNS, severity, spot, format!("systemd says: {}", cut(text)), "", None);
        }
    }
    let named = sheet.has_found(&rules::REFUSED) || sheet.has_found(&rules::INLINE_COMMENT);
    if matches!(state, LoadState::BadSetting | LoadState::Error | LoadState::NotFound) && !named {
        let text = sheet.unit.load_error.clone().unwrap_or_default();
        let spot = sheet.header();
        sheet.found(
            &rules::REFUSED,
            spot,
            format!("systemd cannot load the unit: {}", cut(&text)),
            "cannot be loaded",
            None,
        );
    }
}

fn no_install(sheet: &mut Sheet<'_>) {
    let Some(service) = sheet.service() else { return };
    let own = sheet.assignments().any(|(_, item)| item.section == "Install");
    let stem = name::stem(&sheet.unit.name).to_owned();
    let triggered = ["timer", "socket", "path"].iter().any(|suffix| {
        let name = format!("{stem}.{suffix}");
        UnitType::of(&name).is_some() && sheet.all.entries.keys().any(|path| path.ends_with(&format!("/{name}")))
    });
    let asked_for =
        !sheet.unit.wanted_by.is_empty() || !sheet.unit.required_by.is_empty() || service.bus_name.is_some();
    if own || triggered || asked_for || sheet.options.partial || service.restart == Restart::No || !sheet.is_usable() {
        return;
    }
    let spot = sheet.header();
    let message = "without [Install] the unit cannot be enabled: after a boot it is not started unless something else asks for it".to_owned();
    sheet.found(&rules::NO_INSTALL, spot, message, "static", Some("[Install]\nWantedBy=multi-user.target".to_owned()));
}
