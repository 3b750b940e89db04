//! The machine's framebuffer, who may draw on it, and what there is to be drawn.

use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use bootloader_api::info::{FrameBuffer, FrameBufferInfo};
use spin::Once;
use stack_alloc::BlockSnapshot;

use super::panel::Panel;
use super::picture::{Facts, Picture};
use super::surface::Surface;
use crate::interrupts::timer;
use crate::memory::frame::FRAME_SIZE;
use crate::memory::heap_source::HEAP;
use crate::memory::physical;
use crate::tasks;

/// Blocks of the heap map that are looked at in one go.
const BLOCKS_AT_ONCE: usize = 32;

/// Time from one drawing to the next.
const REFRESH: Duration = Duration::from_millis(250);

/// The framebuffer, if the boot loader gave one.
static FRAMEBUFFER: Once<Pixels> = Once::new();

/// There is a [`Screen`].
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// The memory of the framebuffer.
///
/// # Invariants
/// - `start` points to `info.byte_len` bytes that are mapped and writable for good, and nobody else's.
#[derive(Clone, Copy, Debug)]
struct Pixels {
    /// The first byte.
    start: NonNull<u8>,
    /// How the pixels are laid out.
    info: FrameBufferInfo,
}

// SAFETY: it is memory like any other, the same on every CPU.
unsafe impl Send for Pixels {}

// SAFETY: what is shared is where the memory is; who writes it must answer for that.
unsafe impl Sync for Pixels {}

impl Pixels {
    /// Returns the surface to draw on.
    ///
    /// # Safety
    ///
    /// Nobody draws on another surface of the same pixels while this one is in use.
    unsafe fn surface(self) -> Option<Surface<'static>> {
        // SAFETY: the invariant says that the bytes are there for good, and the caller that they are ours meanwhile. Any bytes
        // are pixels.
        let bytes = unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.info.byte_len) };
        Surface::new(bytes, self.info)
    }
}

/// Takes the framebuffer over from the boot loader, once. Draws nothing.
pub fn init(framebuffer: Option<FrameBuffer>) {
    if let Some(framebuffer) = framebuffer {
        let info = framebuffer.info();
        // INVARIANT: the boot loader mapped it for the kernel, and `into_buffer` gives it away for good.
        let start = NonNull::from(framebuffer.into_buffer()).cast();
        FRAMEBUFFER.call_once(|| Pixels { start, info });
    }
}

/// Starts the task that draws the live picture. Without a screen, or memory for it, there is no task and no picture.
pub fn spawn() {
    let Some(mut screen) = start() else { return };
    let task = tasks::spawn("screen", move || {
        loop {
            screen.draw();
            tasks::sleep(REFRESH);
        }
    });
    // Nobody waits for it. Where none can be had, the screen is given back.
    drop(task);
}

/// The live picture of the heap. `W` walks over the heap's blocks, round after round, with a `None` behind each.
#[derive(Debug)]
pub struct Screen<W> {
    /// The pixels.
    pixels: Pixels,
    /// The picture.
    picture: Picture,
    /// The walk.
    walk: W,
    /// The right to draw.
    _claim: Claim,
}

/// Draws the picture's frame, and allocates all that it will ever need. `None` where there is no framebuffer, it is too
/// small, memory is out, or there is a screen already.
#[must_use]
pub fn start() -> Option<Screen<impl FnMut() -> Option<BlockSnapshot> + Send>> {
    let pixels = *FRAMEBUFFER.get()?;
    let claim = Claim::take()?;
    // SAFETY: there is only one screen, by the claim. A panel is drawn when whoever draws here will never go on.
    let mut surface = unsafe { pixels.surface() }?;
    let picture = Picture::new(&mut surface, &facts())?;
    let mut walk = HEAP.blocks();
    let walk = move || {
        let block = walk.next();
        if block.is_none() {
            walk = HEAP.blocks();
        }
        block
    };
    Some(Screen {
        pixels,
        picture,
        walk,
        _claim: claim,
    })
}

/// The right to draw the live picture: there is at most one.
#[derive(Debug)]
struct Claim;

impl Claim {
    /// Takes the right, if nobody has it.
    fn take() -> Option<Self> {
        (!IS_TAKEN.swap(true, Ordering::Acquire)).then_some(Self)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        IS_TAKEN.store(false, Ordering::Release);
    }
}

impl<W: FnMut() -> Option<BlockSnapshot>> Screen<W> {
    /// Draws what has changed. To be called a few times a second, with interrupts let in.
    pub fn draw(&mut self) {
        // SAFETY: there is only one screen, by its claim, and it is ours. A panel is drawn when whoever draws here will never go on.
        if let Some(mut surface) = unsafe { self.pixels.surface() } {
            (self.picture).draw(&mut surface, &facts(), BLOCKS_AT_ONCE, &mut self.walk);
        }
    }
}

/// Draws an empty panel over everything and returns it, for the kernel's last words; `None` where there is no framebuffer.
/// Waits for nobody and allocates nothing.
///
/// For a caller that goes nowhere but out, and has stopped other CPUs: whoever draws on the screen is not to go on behind it.
#[must_use]
pub fn take_panel() -> Option<Panel<'static>> {
    let pixels = FRAMEBUFFER.get()?;
    // SAFETY: whoever was drawing does not run while we do, and will not again: other CPUs are stopped, no task has a turn here while
    // interrupts are masked, and we go out.
    unsafe { pixels.surface() }.map(Panel::new)
}

/// Returns the facts of this moment.
fn facts() -> Facts {
    let frames = physical::statistics();
    let bytes = |frames: u64| usize::try_from(frames * FRAME_SIZE).unwrap_or(usize::MAX);
    Facts {
        uptime: timer::uptime(),
        statistics: HEAP.statistics(),
        bytes_total: bytes(frames.total),
        bytes_free: bytes(frames.free),
    }
}
