//! A slow way to a server: what takes moments on one machine takes long enough to be interrupted.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;

/// Bytes handed on at a time.
const CHUNK: usize = 32 << 10;

/// Forwards connections to a server, so many bytes a second each way and connection. Ends with its value.
#[derive(Debug)]
pub struct SlowProxy {
    port: u16,
    stop: Arc<AtomicBool>,
}

impl SlowProxy {
    /// A way to `target` (`127.0.0.1:<port>`).
    pub fn start(target: &str, bytes_per_second: usize) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let stop = Arc::new(AtomicBool::new(false));
        let pause = Duration::from_secs_f64(CHUNK as f64 / bytes_per_second as f64);
        let (target, stopped) = (target.to_owned(), stop.clone());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(&target)) else {
                    continue;
                };
                if let (Ok(up), Ok(down)) = (client.try_clone(), server.try_clone()) {
                    std::thread::spawn(move || forward(&up, &server, pause));
                    std::thread::spawn(move || forward(&down, &client, pause));
                }
            }
        });
        Ok(Self { port, stop })
    }

    /// `127.0.0.1:<port>`, where clients connect.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for SlowProxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the listener up, so that it sees that it has to stop.
        TcpStream::connect(("127.0.0.1", self.port)).ok();
    }
}

/// Hands on what comes until one side is gone.
fn forward(mut from: &TcpStream, mut to: &TcpStream, pause: Duration) {
    let mut buffer = vec![0; CHUNK];
    loop {
        match from.read(&mut buffer) {
            Ok(count) if count > 0 => {
                let chunk = buffer.get(..count).unwrap_or_default();
                if to.write_all(chunk).is_err() {
                    break;
                }
                std::thread::sleep(pause.mul_f64(count as f64 / CHUNK as f64));
            }
            _ => break,
        }
    }
    from.shutdown(Shutdown::Both).ok();
    to.shutdown(Shutdown::Both).ok();
}
