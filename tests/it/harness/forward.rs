//! A port on loopback whose connections are passed on, as they are, to wherever each of them belongs.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Takes connections until it is dropped. Those that are open by then live on.
#[must_use = "it ends when it is dropped"]
pub(crate) struct Forward {
    pub(crate) address: SocketAddr,
    ended: Arc<AtomicBool>,
    /// In milliseconds.
    delay: Arc<AtomicU64>,
}

impl Forward {
    /// Sends each new connection to where `target` says, or closes it.
    pub(crate) fn start(target: impl Fn() -> Option<SocketAddr> + Send + 'static) -> Forward {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let address = listener.local_addr().expect("a bound listener has an address");
        let ended = Arc::new(AtomicBool::new(false));
        let delay = Arc::new(AtomicU64::new(0));
        let (over, slow) = (Arc::clone(&ended), Arc::clone(&delay));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                if let Some(server) = target().and_then(|target| TcpStream::connect(target).ok()) {
                    join(client, server, &slow);
                }
            }
        });
        Forward { address, ended, delay }
    }

    /// From now on what comes back comes so much later.
    pub(crate) fn slow_down(&self, delay: Duration) {
        self.delay.store(delay.as_millis() as u64, Ordering::Relaxed);
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // So that it looks.
        TcpStream::connect(self.address).ok();
    }
}

fn join(client: TcpStream, server: TcpStream, delay: &Arc<AtomicU64>) {
    for stream in [&client, &server] {
        stream.set_nodelay(true).ok();
    }
    let (Ok(from_client), Ok(to_client)) = (client.try_clone(), client.try_clone()) else { return };
    let Ok(from_server) = server.try_clone() else { return };
    let delay = Arc::clone(delay);
    thread::spawn(move || carry(from_client, server, &AtomicU64::new(0)));
    thread::spawn(move || carry(from_server, to_client, &delay));
}

/// Passes on what comes until there is no more, and says so.
fn carry(mut from: TcpStream, mut to: TcpStream, delay: &AtomicU64) {
    let (sender, due) = mpsc::channel::<(Instant, Vec<u8>)>();
    let writer = thread::spawn(move || {
        for (when, bytes) in due {
            thread::sleep(when.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        to.shutdown(Shutdown::Write).ok();
    });
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let due = Instant::now() + Duration::from_millis(delay.load(Ordering::Relaxed));
        if sender.send((due, buffer[..read].to_vec())).is_err() {
            break;
        }
    }
    drop(sender);
    writer.join().ok();
}
