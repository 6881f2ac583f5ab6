//! The pace of a connection: how long its parts may take, and which of them it is at.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use api::Early;
use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::{Connection, refusal};

/// A deadline that is set when somebody first has to wait.
type Deadline = Option<Pin<Box<dyn Future<Output = ()> + Send>>>;

/// Held while a request is at work.
pub(super) struct Paced(Arc<Connection>);

impl Paced {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        Self(connection)
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// The body of an answer; with it the request ends.
pub(super) struct Answer {
    body: Body,
    _at_work: Paced,
}

impl Answer {
    pub(super) fn new(body: Body, at_work: Paced) -> Self {
        Self { body, _at_work: at_work }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a request, which has to come in time.
pub(super) struct PacedBody {
    body: Incoming,
    connection: Arc<Connection>,
    deadline: Deadline,
}

impl PacedBody {
    pub(super) fn new(body: Incoming, connection: Arc<Connection>) -> Self {
        Self { body, connection, deadline: None }
    }
}

impl HttpBody for PacedBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let time_max = this.connection.house().limits.body_time_max;
        let deadline = this.deadline.get_or_insert_with(|| this.connection.deadline(time_max));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::TimedOut).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A socket on which heads have to come in time, and answers have to be read in time. How long it may
/// be silent before a head is not its business.
pub(super) struct PacedStream {
    stream: TcpStream,
    connection: Arc<Connection>,
    /// How many requests had come when a head began that is not complete yet.
    head_after: Option<usize>,
    head: Deadline,
    answer: Deadline,
}

impl PacedStream {
    pub(super) fn new(stream: TcpStream, connection: Arc<Connection>) -> Self {
        Self { stream, connection, head_after: None, head: None, answer: None }
    }

    /// Waits for the rest of a head, if one has begun.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.head_after != Some(self.connection.begun()) {
            // It is complete, or none has begun.
            (self.head_after, self.head) = (None, None);
            return Poll::Pending;
        }
        let time_max = self.connection.house().limits.head_time_max;
        let deadline = self.head.get_or_insert_with(|| self.connection.deadline(time_max));
        ready!(deadline.as_mut().poll(cx));
        self.refuse(Early::HeadTooSlow);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Says why it will be hung up on, as far as it can be said without waiting.
    fn refuse(&self, early: Early) {
        // An error means that the client is gone already.
        let _ = self.stream.try_write(&self.connection.house().early.write(early));
    }

    /// Takes hyper's refusal of a head out of its hands and says it in the words of the API.
    fn replaces(&self, written: &[u8]) -> bool {
        // While a request is at work, what is written is its answer.
        let early = if self.connection.is_idle() { refusal::of_hyper(written) } else { None };
        early.map(|early| self.refuse(early)).is_some()
    }

    /// Gives what was written; where nothing could be, waits as long as an answer may take.
    fn poll_written(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            return written;
        }
        let time_max = self.connection.house().limits.answer_time_max;
        let deadline = self.answer.get_or_insert_with(|| self.connection.deadline(time_max));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for PacedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        if read.is_pending() {
            return this.poll_head(cx);
        }
        let begun = this.connection.begun();
        let came = buf.filled().len() > before;
        if came && this.connection.is_idle() && this.head_after != Some(begun) {
            (this.head_after, this.head) = (Some(begun), None);
        }
        read
    }
}

impl AsyncWrite for PacedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.replaces(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.poll_written(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // A refusal is one piece.
        if let [buf] = bufs
            && this.replaces(buf)
        {
            return Poll::Ready(Ok(buf.len()));
        }
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.poll_written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Called when all is written that there was.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.answer = None;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
