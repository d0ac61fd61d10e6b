//! The drawn characters of systemctl's output, for a terminal of either kind (systemd's `SYSTEMD_UTF8`, locale(7)).

/// Draws in UTF-8, or in ASCII if the locale has nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Glyphs {
    pub(super) utf8: bool,
}

impl Glyphs {
    const fn pick(self, utf8: &'static str, ascii: &'static str) -> &'static str {
        if self.utf8 { utf8 } else { ascii }
    }

    /// What stands for an ActiveState.
    pub(super) fn state(self, active_state: &str) -> &'static str {
        match active_state {
            "inactive" | "maintenance" => self.pick("○", "*"),
            "failed" => self.pick("×", "x"),
            "reloading" => self.pick("↻", "*"),
            _ => self.dot(),
        }
    }

    pub(super) const fn dot(self) -> &'static str {
        self.pick("●", "*")
    }

    /// A branch of a tree with others below it.
    pub(super) const fn branch(self) -> &'static str {
        self.pick("├─", "|-")
    }

    /// The last branch of a tree.
    pub(super) const fn last(self) -> &'static str {
        self.pick("└─", "`-")
    }

    /// Either of them.
    pub(super) const fn fork(self, last: bool) -> &'static str {
        if last { self.last() } else { self.branch() }
    }

    /// What stands to the left of what a branch carries.
    pub(super) const fn stem(self, goes_on: bool) -> &'static str {
        if goes_on { self.pick("│ ", "| ") } else { "  " }
    }

    pub(super) const fn arrow(self) -> &'static str {
        self.pick("→", "->")
    }

    /// A text cut off at its end so that it is at most `width` characters wide.
    pub(super) fn cut(self, text: &str, width: usize) -> String {
        if text.chars().count() <= width {
            return text.to_owned();
        }
        let mark = self.pick("…", "...");
        let kept: String = text.chars().take(width.saturating_sub(mark.chars().count())).collect();
        kept + mark
    }
}
