//! The picture on surfaces in memory, of heaps of which it is known what they hold.

use core::alloc::Layout;
use core::fmt::Write;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::time::Duration;
use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use bootloader_api::info::{FrameBufferInfo, PixelFormat};
use embedded_graphics_core::geometry::{OriginDimensions, Point};
use embedded_graphics_core::pixelcolor::Rgb888;
use stack_alloc::{Heap, PageState, Region};

use super::layout::{self, rectangle};
use super::map::Map;
use super::panel::Panel;
use super::picture::{Facts, Picture};
use super::surface::Surface;
use super::text::{Line, Style};
use super::theme;
use crate::random::Random;

/// A framebuffer in memory.
struct Canvas {
    bytes: Vec<u8>,
    info: FrameBufferInfo,
}

impl Canvas {
    fn new(width: usize, height: usize) -> Self {
        let info = FrameBufferInfo {
            byte_len: width * height * 4,
            width,
            height,
            pixel_format: PixelFormat::Rgb,
            bytes_per_pixel: 4,
            stride: width,
        };
        Self {
            bytes: vec![0; info.byte_len],
            info,
        }
    }

    fn surface(&mut self) -> Surface<'_> {
        Surface::new(&mut self.bytes, self.info).unwrap()
    }

    #[track_caller]
    fn colour(&self, at: Point) -> Rgb888 {
        let (x, y) = (
            usize::try_from(at.x).unwrap(),
            usize::try_from(at.y).unwrap(),
        );
        let pixel = &self.bytes[(y * self.info.width + x) * 4..][..4];
        Rgb888::new(pixel[0], pixel[1], pixel[2])
    }
}

/// A heap in memory of its own.
struct Model {
    heap: Heap<Region>,
    uptime: Duration,
    random: Random,
}

impl Model {
    fn new(bytes: usize) -> Self {
        let memory = Box::leak(vec![MaybeUninit::uninit(); bytes].into_boxed_slice());
        Self {
            heap: Heap::new(Region::from_static(memory)),
            uptime: Duration::ZERO,
            random: Random::from_seed(1),
        }
    }

    fn allocate(&mut self, size: usize) -> NonNull<u8> {
        let layout = Layout::from_size_align(size, 8).unwrap();
        self.heap.allocate(layout).unwrap().cast()
    }

    /// Allocates objects of all sizes, and frees about a third of them again.
    fn work(&mut self, objects: usize) {
        for _ in 0..objects {
            let size = self.random.log_distributed(3, 16);
            let object = self.allocate(size);
            if self.random.below(3) == 0 {
                self.free(object, size);
            }
        }
    }

    fn free(&mut self, object: NonNull<u8>, size: usize) {
        let layout = Layout::from_size_align(size, 8).unwrap();
        // SAFETY: tests free what they allocated, once.
        unsafe { self.heap.deallocate(object, layout) }.unwrap();
    }

    fn facts(&self) -> Facts {
        let statistics = self.heap.statistics();
        Facts {
            uptime: self.uptime,
            bytes_total: 248 << 20,
            bytes_free: (247 << 20) - statistics.bytes_held,
            statistics,
        }
    }

    fn draw(&mut self, picture: &mut Picture, canvas: &mut Canvas) {
        let facts = self.facts();
        let mut walk = self.heap.blocks();
        picture.draw(&mut canvas.surface(), &facts, usize::MAX, &mut || {
            walk.next()
        });
        self.uptime += Duration::from_millis(250);
    }
}

/// Returns a canvas with a picture on it.
fn start(model: &Model, width: usize, height: usize) -> (Canvas, Picture) {
    let mut canvas = Canvas::new(width, height);
    let picture = Picture::new(&mut canvas.surface(), &model.facts()).unwrap();
    (canvas, picture)
}

/// Where the map's tiles begin on a screen of 1280 × 800.
const TILES: Point = Point::new(28, 98);

/// Side of a cell at the largest scale.
const CELL: i32 = 20;

/// From a cell to the next.
const PITCH: i32 = 22;

/// Round a tile.
const MARGIN: i32 = 10;

#[test]
fn pages_of_a_block_are_what_they_are_used_for() {
    let mut model = Model::new(4 << 20);
    // A page of chunks, of which one is taken; a run of twelve pages; nothing else.
    model.allocate(48);
    model.allocate(12 * 4096 - 100);
    let block = model.heap.blocks().next().unwrap();
    let (mut canvas, mut picture) = start(&model, 1280, 800);
    model.draw(&mut picture, &mut canvas);

    for (number, page) in (0..).zip(block.pages) {
        let corner = TILES + Point::new(number % 8 * PITCH + MARGIN, number / 8 * PITCH + MARGIN);
        let (top, bottom) = (corner, corner + Point::new(0, CELL - 1));
        let before = corner - Point::new(1, 0);
        let (in_top, in_bottom, in_gap) = match page {
            PageState::Absent => (theme::PANEL, theme::PANEL, theme::PANEL),
            PageState::Free => (theme::FREE, theme::FREE, theme::PANEL),
            PageState::Header => (theme::HEADER, theme::HEADER, theme::PANEL),
            PageState::Chunks { chunk_size: 48, .. } => {
                let colour = theme::class(48);
                (theme::room(colour), colour, theme::PANEL)
            }
            PageState::Run { is_first, .. } => {
                let is_joined = !is_first && number % 8 > 0;
                let gap = if is_joined { theme::RUN } else { theme::PANEL };
                (theme::RUN, theme::RUN, gap)
            }
            other => panic!("{other:?} at {number}"),
        };
        assert_eq!(canvas.colour(top), in_top, "{page:?}");
        assert_eq!(canvas.colour(bottom), in_bottom, "{page:?}");
        assert_eq!(canvas.colour(before), in_gap, "{page:?}");
    }
    let is_run = |page: &&PageState| matches!(page, PageState::Run { .. });
    assert_eq!(block.pages.iter().filter(is_run).count(), 12);
}

#[test]
fn blocks_in_reserve_have_a_frame() {
    let mut model = Model::new(4 << 20);
    model.heap.set_reserve(1);
    let (mut canvas, mut picture) = start(&model, 1280, 800);
    model.draw(&mut picture, &mut canvas);
    let corner = TILES + Point::new(1, 1);
    assert_eq!(canvas.colour(corner), theme::RESERVE);

    model.heap.set_reserve(0);
    model.heap.trim();
    model.draw(&mut picture, &mut canvas);
    assert_eq!(canvas.colour(corner), theme::PANEL);
}

#[test]
fn unchanged_heap_is_not_drawn_again() {
    let mut model = Model::new(64 << 20);
    model.work(3000);
    let (mut canvas, mut picture) = start(&model, 1280, 800);
    model.draw(&mut picture, &mut canvas);
    // The graph and the rates move with time alone.
    canvas.bytes.fill(0x55);
    let facts = model.facts();
    let facts = Facts {
        uptime: Duration::ZERO,
        ..facts
    };
    let mut walk = model.heap.blocks();
    picture.draw(&mut canvas.surface(), &facts, usize::MAX, &mut || {
        walk.next()
    });
    assert!(canvas.bytes.iter().all(|&byte| byte == 0x55));
}

#[test]
fn what_is_drawn_bit_by_bit_is_what_is_drawn_at_once() {
    for (width, height) in [(1280, 800), (800, 600)] {
        let mut model = Model::new(256 << 20);
        let (mut canvas, mut picture) = start(&model, width, height);
        for round in 0..40 {
            model.work(400);
            if round == 20 {
                model.heap.set_reserve(2);
            }
            model.draw(&mut picture, &mut canvas);
        }
        assert!(
            model.heap.blocks().count() > 60,
            "the tiles get smaller on the way"
        );
        let (mut fresh, mut picture) = start(&model, width, height);
        model.draw(&mut picture, &mut fresh);

        // Graph and numbers know of the past.
        let layout = layout::Layout::new(canvas.surface().size()).unwrap();
        for panel in [layout.map, layout.classes] {
            for (x, y) in panel
                .rows()
                .flat_map(|y| panel.columns().map(move |x| (x, y)))
            {
                let at = Point::new(x, y);
                assert_eq!(canvas.colour(at), fresh.colour(at), "{at}");
            }
        }
    }
}

#[test]
fn blocks_that_have_no_room_are_counted() {
    let block = {
        let mut model = Model::new(1 << 20);
        model.allocate(100);
        model.heap.blocks().next().unwrap()
    };
    let mut canvas = Canvas::new(800, 600);
    let area = rectangle(0, 20, 100, 100);
    let mut map = Map::new(area, Line::new(Point::zero(), Style::FAINT, 64), usize::MAX).unwrap();
    for (blocks, caption) in [
        (
            1,
            "1 block of 256 KiB: a cell a page, filled as far as used",
        ),
        (
            25,
            "25 blocks of 256 KiB: a cell a page, filled as far as used",
        ),
        (1000, "1000 blocks of 256 KiB; the last 975 are not shown"),
    ] {
        let mut walk = core::iter::repeat_n(block, blocks);
        map.draw(&mut canvas.surface(), usize::MAX, &mut || walk.next());
        assert_eq!(map.caption(), caption);
    }
    let behind = Point::new(101, 60);
    assert_eq!(canvas.colour(behind), Rgb888::new(0, 0, 0));
}

#[test]
fn budget_limits_what_is_looked_at() {
    let mut model = Model::new(64 << 20);
    model.work(5000);
    let (mut canvas, mut picture) = start(&model, 1280, 800);
    let facts = model.facts();
    let mut walk = model.heap.blocks();
    let mut steps = 0;
    picture.draw(&mut canvas.surface(), &facts, 7, &mut || {
        steps += 1;
        walk.next()
    });
    assert_eq!(steps, 7);
}

#[test]
fn small_surfaces_have_no_picture() {
    let mut canvas = Canvas::new(640, 480);
    assert!(Picture::new(&mut canvas.surface(), &Model::new(1 << 20).facts()).is_none());
    assert!(canvas.bytes.iter().all(|&byte| byte == 0));
}

/// Returns what a panel looks like with these texts written to it, one after the other.
fn panel_with<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut canvas = Canvas::new(400, 200);
    let mut panel = Panel::new(canvas.surface());
    for text in texts {
        panel.write_str(text).unwrap();
    }
    canvas.bytes
}

/// Returns how many characters a line of that panel has.
fn panel_width() -> usize {
    // 24 pixels from the edge to the panel, and 12 from there to the text.
    ((400 - 2 * (24 + 12)) / Style::TEXT.character().width) as usize
}

/// Lines of that panel.
const PANEL_LINES: usize = (200 - 2 * (24 + 12)) / 16;

#[test]
fn panel_breaks_lines_that_are_too_long() {
    let long = "x".repeat(panel_width() + 3);
    let broken = std::format!("{}\nxxx", "x".repeat(panel_width()));
    assert!(panel_with([long.as_str()]) == panel_with([broken.as_str()]));
    assert!(panel_with([long.as_str()]) != panel_with(["xxx"]));
}

#[test]
fn panel_that_is_full_says_so() {
    let lines: Vec<&str> = vec!["line\n"; PANEL_LINES];
    let full = panel_with(lines.iter().copied());
    let more = panel_with(lines.iter().copied().chain(["one too many", "\nand more"]));
    let said =
        panel_with((lines[1..].iter().copied()).chain(["... (the serial console has the rest)"]));
    assert!(full != more);
    assert!(more == said);
}

#[test]
fn panel_leaves_colours_to_terminals() {
    let plain = panel_with(["a red word\n"]);
    assert!(panel_with(["a \x1b[1;31mred\x1b[0m word\r\n"]) == plain);
    assert!(panel_with(["a \x1b", "[3", "1mred\x1b[", "m word\n"]) == plain);
}
