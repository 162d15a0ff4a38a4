//! A program at a terminal, for what it asks people.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// How long a prompt, or the end, is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program whose terminal is a pseudo terminal, made by util-linux's `script`. Dropping it kills it.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: Receiver<Vec<u8>>,
    /// What was shown so far.
    shown: String,
    /// How far it was looked at.
    looked_at: usize,
}

impl Terminal {
    /// Starts a command line, words parted by blanks, with `script`; `prepare` sets the environment.
    pub fn start(
        script: &Path,
        words: &[&str],
        prepare: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        // `script` hands it to a shell.
        let quoted: Vec<String> = words
            .iter()
            .map(|word| format!("'{}'", word.replace('\'', r"'\''")))
            .collect();
        let mut command = Command::new(script);
        command
            .args([
                "--quiet",
                "--return",
                "--command",
                &quoted.join(" "),
                "/dev/null",
            ])
            .env("TERM", "dumb")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        prepare(&mut command);
        let mut child = command.spawn().context("script cannot be started")?;
        let keyboard = child.stdin.take().context("no keyboard")?;
        let mut output = child.stdout.take().context("no screen")?;
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                let bytes = buffer.get(..count).unwrap_or_default().to_vec();
                if sender.send(bytes).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            keyboard,
            screen,
            shown: String::new(),
            looked_at: 0,
        })
    }

    /// Waits until this is shown, after what was waited for before, and types an answer with its line end.
    pub fn answer(&mut self, prompt: &str, answer: &str) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let fresh = self.shown.get(self.looked_at..).unwrap_or_default();
            if let Some(at) = fresh.find(prompt) {
                self.looked_at += at + prompt.len();
                break;
            }
            match self
                .screen
                .recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => bail!("{prompt:?} was not asked: {}", self.shown),
            }
        }
        self.keyboard.write_all(format!("{answer}\n").as_bytes())?;
        Ok(self.keyboard.flush()?)
    }

    /// Waits for the end; gives its code and all that was shown.
    pub fn end(mut self) -> Result<(Option<i32>, String)> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self
                .screen
                .recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => bail!("it does not end: {}", self.shown),
            }
        }
        let code = self.child.wait()?.code();
        Ok((code, std::mem::take(&mut self.shown)))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
