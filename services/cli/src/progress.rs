//! Progress bars: on a terminal only, on standard error, gone when the work is done.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use quench_package::{Progress, ProgressEvent};

/// Progress shown on standard error if that is a terminal and nobody asked for quiet.
pub fn on_terminal(quiet: bool) -> Progress {
    if quiet || !std::io::stderr().is_terminal() {
        return Progress::default();
    }
    let current: Mutex<Option<ProgressBar>> = Mutex::new(None);
    Progress::new(move |event| {
        let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            ProgressEvent::Start { task, total } => {
                if let Some(old) = current.take() {
                    old.finish_and_clear();
                }
                *current = Some(bar(task, total));
            }
            ProgressEvent::Advance(steps) => {
                if let Some(bar) = current.as_ref() {
                    bar.inc(steps);
                }
            }
            ProgressEvent::Finish => {
                if let Some(bar) = current.take() {
                    bar.finish_and_clear();
                }
            }
        }
    })
}

/// Totals above this are bytes: no task has that many steps.
const BYTES_FROM: u64 = 1 << 20;

fn bar(task: &str, total: u64) -> ProgressBar {
    let template = match total {
        0 => "  {spinner} {msg} {elapsed}",
        BYTES_FROM.. => "  {spinner} {msg} [{bar:24}] {bytes}/{total_bytes} {bytes_per_sec}",
        _ => "  {spinner} {msg} [{bar:24}] {pos}/{len}",
    };
    let bar = if total == 0 {
        ProgressBar::new_spinner()
    } else {
        ProgressBar::new(total)
    };
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    bar.set_style(style);
    bar.set_message(task.to_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}
