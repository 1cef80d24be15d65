//! What a person sees while a guest runs: a bar on a terminal, otherwise a line for each second. Not here: what is
//! printed when it has ended (`tables`).

use crate::outcome::Progress;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Between two lines of progress.
const PAUSE: Duration = Duration::from_secs(1);
const STYLE: &str = "{wide_bar} revolution {pos} of {len}, {elapsed}";

/// Where a run's progress and its guest's lines go.
#[derive(Debug)]
pub enum Display {
    /// A bar, with the lines above it.
    Bar(ProgressBar),
    /// Lines only.
    Lines {
        /// When the run began.
        begin: Instant,
        /// When progress is to be told next.
        next: Instant,
    },
    /// Nowhere: several guests run at once.
    Silent,
}

impl Display {
    /// The display for whoever started this program.
    pub fn new() -> Self {
        let now = Instant::now();
        if !std::io::stderr().is_terminal() || !std::io::stdout().is_terminal() {
            return Self::Lines { begin: now, next: now + PAUSE };
        }
        let bar = ProgressBar::no_length();
        // The template is a constant; were it wrong, the default style would do.
        if let Ok(style) = ProgressStyle::with_template(STYLE) {
            bar.set_style(style);
        }
        Self::Bar(bar)
    }

    /// Shows a line of the guest's.
    pub fn line(&self, line: &str) {
        match self {
            Self::Bar(bar) => bar.println(format!("guest | {line}")),
            Self::Lines { .. } => println!("guest | {line}"),
            Self::Silent => {}
        }
    }

    /// Shows how far the guest is, if that is due. To be called often.
    pub fn progress(&mut self, progress: Option<Progress>) {
        match self {
            Self::Bar(bar) => {
                if let Some(Progress { revolution, of }) = progress {
                    bar.set_length(of);
                    bar.set_position(revolution);
                }
                bar.tick();
            }
            Self::Lines { begin, next } if Instant::now() >= *next => {
                println!("{:3} s: {}", begin.elapsed().as_secs(), in_words(progress));
                *next += PAUSE;
            }
            Self::Lines { .. } | Self::Silent => {}
        }
    }

    /// Takes the bar away.
    pub fn end(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

impl Default for Display {
    fn default() -> Self {
        Self::new()
    }
}

/// How far a guest is, as part of a sentence.
pub fn in_words(progress: Option<Progress>) -> String {
    match progress {
        None => "no report yet".into(),
        Some(Progress { revolution, of }) => {
            let percent = (revolution * 100).checked_div(of).unwrap_or(0);
            format!("revolution {revolution} of {of} ({percent} %)")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_in_words() {
        assert_eq!(in_words(None), "no report yet");
        assert_eq!(in_words(Some(Progress { revolution: 20, of: 60 })), "revolution 20 of 60 (33 %)");
        assert_eq!(in_words(Some(Progress::default())), "revolution 0 of 0 (0 %)");
    }
}
