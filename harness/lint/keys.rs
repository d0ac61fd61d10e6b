//! Keys and sections that systemd does not know, or knows elsewhere.

use super::Spot;
use super::course::outcome;
use super::rules;
use super::sheet::Sheet;
use crate::expect::nearest;
use crate::unit::{Item, ItemKind, KeyKind, has_section, key_kind, key_since, known_keys};

const LIMIT_KEYS: [&str; 4] = ["StartLimitIntervalSec", "StartLimitInterval", "StartLimitBurst", "StartLimitAction"];

/// What the rules of this file need of a line.
struct Row {
    file: usize,
    item: Item,
}

pub(super) fn look(sheet: &mut Sheet<'_>) {
    let mut unknown = Vec::new();
    let mut sections = Vec::new();
    let mut outside = Vec::new();
    for (file, content) in sheet.files.iter().enumerate() {
        for item in content.outline.items.iter().filter(|item| sheet.is_warned(file, item.line)) {
            let says =
                |start: &str| sheet.warnings_at(file, item.line).iter().any(|warning| warning.text.starts_with(start));
            let row = || Row { file, item: item.clone() };
            match item.kind {
                ItemKind::Assignment if says("Unknown key") => unknown.push(row()),
                ItemKind::Section if says("Unknown section") => sections.push(row()),
                ItemKind::Assignment | ItemKind::Other if says("Assignment outside of section") => outside.push(row()),
                ItemKind::Other if says("Missing ") => outside.push(row()),
                _ => {}
            }
            if unknown.len() + sections.len() + outside.len() > super::MOST_FINDINGS {
                break;
            }
        }
    }
    for row in sections {
        unknown_section(sheet, &row);
    }
    for row in outside {
        stray(sheet, &row);
    }
    for row in &unknown {
        unknown_key(sheet, row);
    }
    old_limits(sheet);
}

fn unknown_section(sheet: &mut Sheet<'_>, row: &Row) {
    const NAMES: [&str; 11] =
        ["Unit", "Install", "Service", "Socket", "Timer", "Path", "Mount", "Swap", "Automount", "Slice", "Scope"];
    let name = &row.item.section;
    let known: Vec<&str> = NAMES.into_iter().filter(|name| has_section(sheet.kind, name)).collect();
    let type_name = sheet.kind.as_str();
    let (message, fix) = match nearest(name, &known) {
        Some(near) => (format!("there is no section [{name}]: everything in it is ignored"), Some(format!("[{near}]"))),
        None if NAMES.contains(&name.as_str()) => {
            (format!("a .{type_name} unit has no section [{name}]: everything in it is ignored"), None)
        }
        None => (format!("systemd does not know the section [{name}]: everything in it is ignored"), None),
    };
    sheet.explain(row.file, row.item.line);
    sheet.found(&rules::UNKNOWN_SECTION, spot(row), message, "ignored, with all that follows", fix);
}

fn stray(sheet: &mut Sheet<'_>, row: &Row) {
    sheet.explain(row.file, row.item.line);
    if row.item.kind == ItemKind::Assignment || row.item.section.is_empty() {
        let message =
            format!("{} stands before the first section header and is ignored", shown(&row.item.value, &row.item.key));
        sheet.found(&rules::OUTSIDE_SECTION, spot(row), message, "in no section", None);
        return;
    }
    let message = "this is neither an assignment nor a comment nor a header, and is ignored".to_owned();
    sheet.found(&rules::NOT_AN_ASSIGNMENT, spot(row), message, "no KEY=VALUE", None);
}

fn shown(value: &str, key: &str) -> String {
    if key.is_empty() { value.chars().take(40).collect() } else { format!("{key}=") }
}

fn spot(row: &Row) -> Spot {
    let span = match row.item.kind {
        ItemKind::Assignment => row.item.key_span(),
        _ => row.item.span(),
    };
    Spot { file: row.file, span }
}

fn unknown_key(sheet: &mut Sheet<'_>, row: &Row) {
    let (section, key, value) = (&row.item.section, &row.item.key, &row.item.value);
    let profile = sheet.options.profile;
    sheet.explain(row.file, row.item.line);
    // A key of this section that came later.
    if let Some(since) = key_since(section, key).filter(|since| *since > profile.version()) {
        let message =
            format!("{key}= came with systemd {since}; {} does not know it and ignores the line", profile.version());
        sheet.found(&rules::LATER_KEY, spot(row), message, &format!("from {since} on"), None);
        return;
    }
    let own: Vec<&str> = sections_with(sheet, key);
    if let Some(right) = own.first() {
        let fix = Some(format!("[{right}]\n{key}={value}"));
        if LIMIT_KEYS.contains(&key.as_str()) {
            let message = limit_message(sheet, row, right);
            sheet.found(&rules::LIMIT_SECTION, spot(row), message, &format!("belongs into [{right}]"), fix);
            return;
        }
        let consequence = consequence(sheet, key);
        let message = format!("{key}= belongs into [{right}]; in [{section}] systemd ignores it{consequence}");
        sheet.found(&rules::WRONG_SECTION, spot(row), message, &format!("belongs into [{right}]"), fix);
        return;
    }
    // The nearest key of the same section, else of another one of this type of unit.
    let all: Vec<(&str, &str)> = known_keys(profile).filter(|(section, _)| has_section(sheet.kind, section)).collect();
    let here: Vec<&str> = all.iter().filter(|(known, _)| known == section).map(|(_, key)| *key).collect();
    let elsewhere: Vec<&str> = all.iter().map(|(_, key)| *key).collect();
    let consequence = |sheet: &Sheet<'_>, near: &str| consequence(sheet, near);
    if let Some(near) = nearest(key, &sorted(here)) {
        let message = format!("there is no {key}= in [{section}], and systemd ignores it{}", consequence(sheet, near));
        sheet.found(
            &rules::UNKNOWN_KEY,
            spot(row),
            message,
            &format!("did you mean {near}=?"),
            Some(format!("{near}={value}")),
        );
        return;
    }
    if let Some(near) = nearest(key, &sorted(elsewhere)) {
        let right = sections_with(sheet, near).first().copied().unwrap_or("Unit");
        let message = format!("there is no {key}= in [{section}], and systemd ignores it{}", consequence(sheet, near));
        let fix = Some(format!("[{right}]\n{near}={value}"));
        sheet.found(&rules::UNKNOWN_KEY, spot(row), message, &format!("did you mean {near}= in [{right}]?"), fix);
        return;
    }
    let other = known_keys(profile).find(|(_, known)| known == key).map(|(section, _)| section);
    let message = match other {
        Some(other) => {
            format!("{key}= is for [{other}], which a .{} unit has not; systemd ignores it", sheet.kind.as_str())
        }
        None => format!("systemd {} knows no {key}= and ignores it", profile.version()),
    };
    sheet.found(&rules::UNKNOWN_KEY, spot(row), message, "ignored", None);
}

fn sorted(mut keys: Vec<&'static str>) -> Vec<&'static str> {
    keys.sort_unstable();
    keys
}

/// The sections of this type of unit that have the key.
fn sections_with(sheet: &Sheet<'_>, key: &str) -> Vec<&'static str> {
    let mut sections: Vec<&str> = known_keys(sheet.options.profile)
        .filter(|(section, known)| *known == key && has_section(sheet.kind, section))
        .map(|(section, _)| section)
        .collect();
    // Where systemd documents it comes first: a limit is known in [Service], too.
    sections.sort_unstable_by_key(|section| (*section != "Unit", *section));
    sections
}

/// What applies in place of a setting that is ignored, as a part of a sentence, and what the unit does then.
pub(super) fn consequence(sheet: &Sheet<'_>, key: &str) -> String {
    // The rest of a list stays.
    let listed = matches!(
        key_kind("Service", key, sheet.options.profile).or_else(|| key_kind("Unit", key, sheet.options.profile)),
        Some(
            KeyKind::Exec
                | KeyKind::Dependencies
                | KeyKind::Environment
                | KeyKind::EnvironmentFile
                | KeyKind::ExitStatusSet
        )
    );
    if listed {
        return String::new();
    }
    let Some((name, value)) = sheet.property(key) else { return String::new() };
    let from = if sheet.decisive(&["Unit", "Service", "Socket"], &[key]).is_some() { "" } else { ", the default," };
    let mut text = format!(": {name}={value}{from} applies");
    if ["Restart", "RestartSec"].contains(&key) && sheet.is_usable() && !sheet.options.partial {
        let prediction = sheet.course(sheet.exit());
        let ending = super::course::ending(sheet.exit());
        if key == "Restart" || prediction.starts > 1 {
            text.push_str(&format!("; if its program {ending}, {}", outcome(&prediction)));
        }
    }
    text
}

fn limit_message(sheet: &Sheet<'_>, row: &Row, right: &str) -> String {
    let (section, key) = (&row.item.section, &row.item.key);
    let mut text = format!("{key}= is known in [{right}] only; in [{section}] systemd ignores it");
    let property = |name: &str| sheet.property(name).map(|(_, value)| value).unwrap_or_default();
    let (burst, interval) = (property("StartLimitBurst"), property("StartLimitInterval"));
    if !burst.is_empty() && !sheet.options.partial {
        text.push_str(&format!(", and the limit is {burst} starts in {interval}"));
    }
    let accepted = sheet.assignments().find(|(file, item)| {
        item.section == "Service" && item.key == "StartLimitBurst" && !sheet.is_warned(*file, item.line)
    });
    if key == "StartLimitIntervalSec"
        && let Some((_, item)) = accepted
    {
        text.push_str(&format!(". StartLimitBurst= in line {} is accepted there, as an old name", item.line));
    }
    if sheet.is_usable() && !sheet.options.partial && sheet.service().is_some() {
        let prediction = sheet.course(sheet.exit());
        let ending = super::course::ending(sheet.exit());
        text.push_str(&format!(". If its program {ending}, {}", outcome(&prediction)));
    }
    text
}

/// Limits in [Service] under names that are still accepted there.
fn old_limits(sheet: &mut Sheet<'_>) {
    let found: Vec<(usize, Item)> = sheet
        .assignments()
        .filter(|(file, item)| {
            item.section == "Service" && LIMIT_KEYS.contains(&item.key.as_str()) && !sheet.is_warned(*file, item.line)
        })
        .take(super::MOST_FINDINGS)
        .map(|(file, item)| (file, item.clone()))
        .collect();
    // What is said of the interval that is ignored includes the burst beside it.
    if sheet.has_found(&rules::LIMIT_SECTION) {
        return;
    }
    for (file, item) in found {
        let (key, value) = (&item.key, &item.value);
        let new = if key == "StartLimitInterval" { "StartLimitIntervalSec" } else { key };
        let message = format!(
            "{key}= is accepted in [Service] for the sake of old units; its place is [Unit], and StartLimitIntervalSec= is \
             accepted only there"
        );
        let fix = Some(format!("[Unit]\n{new}={value}"));
        sheet.found(&rules::OLD_LIMIT, Spot { file, span: item.key_span() }, message, "belongs into [Unit]", fix);
    }
}
