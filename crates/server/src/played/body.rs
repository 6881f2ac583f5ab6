//! The body of an answer: whole, or in two parts with a pause between. Touches the runtime's timer only.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Bytes, Frame, SizeHint};
use tokio::time::Sleep;

/// Bytes at once, and perhaps more of them later.
pub(crate) struct Body {
    first: Bytes,
    rest: Bytes,
    pause: Duration,
    /// Runs from when the first part was handed over.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Body {
    pub(crate) fn whole(body: Vec<u8>) -> Self {
        Self { first: body.into(), rest: Bytes::new(), pause: Duration::ZERO, sleep: None }
    }

    pub(crate) fn in_two(body: Vec<u8>, first_bytes: usize, pause: Duration) -> Self {
        let mut first = Bytes::from(body);
        let rest = first.split_off(first_bytes.min(first.len()));
        Self { first, rest, pause, sleep: None }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !self.first.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.first)))));
        }
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let pause = self.pause;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.rest)))))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let bytes = self.first.len().saturating_add(self.rest.len());
        SizeHint::with_exact(u64::try_from(bytes).unwrap_or(u64::MAX))
    }
}
