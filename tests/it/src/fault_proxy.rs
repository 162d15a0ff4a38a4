//! A way to a registry on which requests go wrong as a test wants it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;

/// Most bytes of a request's head.
const HEAD: usize = 64 << 10;
/// How long a connection that stalls is kept open.
const STALL: Duration = Duration::from_secs(180);

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The registry answers it.
    None,
    /// It is answered with this status line and header lines, each with its line end.
    Answer(&'static str, &'static str),
    /// The connection ends after so many bytes of the registry's answer.
    CutAfter(usize),
    /// Nothing more comes after so many bytes of the registry's answer.
    StallAfter(usize),
    /// The last byte of the registry's answer is another one.
    LastByteChanged,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// `GET /v2/…`
    pub line: String,
    /// What the `Range` header asks for.
    pub range: Option<String>,
    /// How often this line had come before.
    pub before: usize,
}

type Decide = dyn Fn(&Seen) -> Fault + Send + Sync;

/// Forwards requests without bodies to a registry, one a connection. Ends with its value.
#[derive(Debug)]
pub struct FaultProxy {
    port: u16,
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl FaultProxy {
    /// A way to `target` (`127.0.0.1:<port>`); `decide` tells what becomes of each request.
    pub fn start(
        target: &str,
        decide: impl Fn(&Seen) -> Fault + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let stop = Arc::new(AtomicBool::new(false));
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (target, stopped, log) = (target.to_owned(), stop.clone(), seen.clone());
        let decide: Arc<Decide> = Arc::new(decide);
        let counts: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(client) = client else { continue };
                let (target, decide) = (target.clone(), decide.clone());
                let (log, counts) = (log.clone(), counts.clone());
                std::thread::spawn(move || {
                    let Some(head) = head(&client) else { return };
                    let request = request(&head, &counts);
                    let mut all = log.lock().unwrap_or_else(PoisonError::into_inner);
                    all.push(request.clone());
                    drop(all);
                    // A client that is gone has nobody to tell.
                    answer(&client, &target, &head, decide(&request)).ok();
                    client.shutdown(Shutdown::Both).ok();
                });
            }
        });
        Ok(Self { port, stop, seen })
    }

    /// `127.0.0.1:<port>`, where clients connect.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the listener up, so that it sees that it has to stop.
        TcpStream::connect(("127.0.0.1", self.port)).ok();
    }
}

fn head(mut client: &TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = client.read(&mut buffer).ok()?;
        if count == 0 || head.len() > HEAD {
            return None;
        }
        head.extend_from_slice(buffer.get(..count).unwrap_or_default());
    }
    String::from_utf8(head).ok()
}

fn request(head: &str, counts: &Mutex<BTreeMap<String, usize>>) -> Seen {
    let line = head.lines().next().unwrap_or_default();
    let line = line.trim_end_matches(" HTTP/1.1").to_owned();
    let range = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("range")
            .then(|| value.trim().to_owned())
    });
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    let count = counts.entry(line.clone()).or_default();
    *count += 1;
    Seen {
        before: *count - 1,
        line,
        range,
    }
}

fn answer(mut client: &TcpStream, target: &str, head: &str, fault: Fault) -> std::io::Result<()> {
    if let Fault::Answer(status, headers) = fault {
        let text =
            format!("HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n");
        return client.write_all(text.as_bytes());
    }
    // The registry's answer ends with its connection, so that its end is seen.
    let (line, rest) = head.split_once("\r\n").unwrap_or((head, "\r\n"));
    let rest: String = rest
        .split_inclusive("\r\n")
        .filter(|line| !line.to_ascii_lowercase().starts_with("connection:"))
        .collect();
    let mut server = TcpStream::connect(target)?;
    server.write_all(format!("{line}\r\nConnection: close\r\n{rest}").as_bytes())?;
    let mut whole = Vec::new();
    server.read_to_end(&mut whole)?;
    match fault {
        Fault::None | Fault::Answer(..) => {}
        Fault::CutAfter(bytes) => whole.truncate(bytes),
        Fault::StallAfter(bytes) => {
            whole.truncate(bytes);
            client.write_all(&whole)?;
            std::thread::sleep(STALL);
            return Ok(());
        }
        Fault::LastByteChanged => {
            if let Some(last) = whole.last_mut() {
                *last ^= 1;
            }
        }
    }
    client.write_all(&whole)
}
