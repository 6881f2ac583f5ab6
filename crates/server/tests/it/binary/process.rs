//! Processes of the binary. Each ends with its test, by its number, however the test ends.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// The pause between two looks at a process.
const PAUSE: Duration = Duration::from_millis(20);
/// How often a process is looked at: for ten minutes at least. Looks are counted instead of time, so
/// that a slow machine gets longer.
const LOOKS_MAX: u32 = 30_000;

/// The binary with arguments and without any variable of whoever runs the tests.
pub(crate) fn simmall<const N: usize>(args: [&str; N]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_simmall"));
    command.args(args).env_clear();
    command
}

/// How a process ended, and all it said.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` after a signal that it did not handle.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// What it printed, if it did well.
    pub(crate) fn success(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// What it complained of. It must have failed by itself, without a panic.
    pub(crate) fn failure(self) -> String {
        assert!(self.code.is_some_and(|code| code != 0 && code != 101), "{self:?}");
        assert!(self.stdout.is_empty() && self.stderr.starts_with("error: "), "{self:?}");
        self.stderr
    }
}

/// Runs a command to its end, with a text on its standard input.
pub(crate) fn run(command: &mut Command, input: &str) -> Ended {
    let mut process = Process::spawn(command.stdin(Stdio::piped()));
    let mut stdin = process.child.stdin.take().unwrap();
    let input = input.to_owned();
    // On a thread of its own, since a process may print before it has read all. One that does not
    // want to read all is right to go away.
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(input.as_bytes());
    });
    let ended = process.wait();
    writer.join().unwrap();
    ended
}

/// A process. Dropped, it is killed.
pub(crate) struct Process {
    child: Child,
    stdout: Output,
    stderr: Output,
}

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = Output::of(child.stdout.take().unwrap());
        let stderr = Output::of(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    /// What it has printed so far.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        // The shell has this command built in, so that no package is needed for it.
        let sent =
            Command::new("sh").args(["-c", "kill -s \"$1\" \"$0\"", &pid, name]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(&mut self) -> Ended {
        for _ in 0..LOOKS_MAX {
            if let Some(status) = self.child.try_wait().unwrap() {
                let (stdout, stderr) = (self.stdout.all(), self.stderr.all());
                return Ended { code: status.code(), stdout, stderr };
            }
            std::thread::sleep(PAUSE);
        }
        panic!("it does not end; it said {:?} and {:?}", self.stdout.text(), self.stderr.text());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process writes, gathered by a thread while it writes.
struct Output {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Output {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let gathered = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = pipe.read(&mut chunk) {
                gathered.lock().unwrap().extend_from_slice(&chunk[..length]);
            }
        });
        Self { bytes, reader: Some(reader) }
    }

    /// What has been written so far.
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    /// All of it, once the process has ended.
    fn all(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.text()
    }
}

/// A process that serves a mall.
pub(crate) struct Server {
    process: Process,
    /// Where it listens, as `http://ADDRESS`.
    pub(crate) url: String,
}

impl Server {
    /// Starts it on free ports and waits until it listens.
    pub(crate) fn start(command: &mut Command) -> Self {
        let given = |arg: &std::ffi::OsStr| arg.to_string_lossy().starts_with("--admin-listen=");
        if !command.get_args().any(given) {
            command.arg("--admin-listen=127.0.0.1:0");
        }
        Self::start_one(command)
    }

    /// Starts what has no admin API on a free port and waits until it listens.
    pub(crate) fn start_one(command: &mut Command) -> Self {
        command.arg("--listen=127.0.0.1:0");
        let mut process = Process::spawn(command);
        for _ in 0..LOOKS_MAX {
            let said = process.stdout.text();
            let line = said.split_inclusive('\n').find(|line| line.starts_with("listening on "));
            if let Some(url) = line.and_then(|line| line.strip_suffix('\n')) {
                let url = url.trim_start_matches("listening on ").to_owned();
                assert!(url.starts_with("http://127.0.0.1:") && !url.ends_with(":0"), "{url}");
                return Self { process, url };
            }
            assert!(process.child.try_wait().unwrap().is_none(), "{:?}", process.wait());
            std::thread::sleep(PAUSE);
        }
        panic!("it does not listen; it said {:?}", process.stdout.text());
    }

    /// What it has printed so far.
    pub(crate) fn stdout(&self) -> String {
        self.process.stdout()
    }

    /// What it has written to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.process.stderr.text()
    }

    /// Asks it to stop, as an operating system does.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Whether it is asleep, as SIGSTOP makes it.
    pub(crate) fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.child.id()));
        let stat = stat.unwrap();
        // After the name, which stands in parentheses.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    /// Waits until it has ended.
    pub(crate) fn wait(mut self) -> Ended {
        self.process.wait()
    }

    /// Asks it to stop and waits until it has.
    pub(crate) fn stop(self) -> Ended {
        self.terminate();
        self.wait()
    }

    /// Kills it on the spot, as a power failure does (SIGKILL).
    pub(crate) fn kill(&mut self) {
        self.process.child.kill().unwrap();
    }
}

/// A directory of a test's own, gone with it.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let name = format!("simmall_binary_{}_{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // A directory of an earlier process with the same number is worth nothing.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A path in it, as text.
    pub(crate) fn join(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
