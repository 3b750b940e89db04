//! The picture on surfaces in memory, of heaps of which it is known what they hold.

use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::time::Duration;
use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use bootloader_api::info::{FrameBufferInfo, PixelFormat};
use embedded_graphics_core::geometry::{Point, Size};
use embedded_graphics_core::pixelcolor::Rgb888;
use stack_alloc::{Heap, Region};

use super::picture::{Facts, Picture};
use super::surface::Surface;
use super::theme;

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
}

/// A heap in memory of its own.
struct Model {
    heap: Heap<Region>,
    uptime: Duration,
}

impl Model {
    fn new(bytes: usize) -> Self {
        let memory = Box::leak(vec![MaybeUninit::uninit(); bytes].into_boxed_slice());
        Self {
            heap: Heap::new(Region::from_static(memory)),
            uptime: Duration::ZERO,
        }
    }

    fn allocate(&mut self, size: usize) -> NonNull<u8> {
        let layout = Layout::from_size_align(size, 8).unwrap();
        self.heap.allocate(layout).unwrap().cast()
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

#[test]
fn dump() {
    let mut canvas = Canvas::new(1280, std::env::var("H").map_or(800, |h| h.parse().unwrap()));
    let mut model = Model::new(80 << 20);
    let mut picture = Picture::new(&mut canvas.surface(), &model.facts()).unwrap();
    let mut seed = 1u64;
    let mut random = |n: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 11) as usize % n
    };
    let mut live = Vec::new();
    let frames: usize = std::env::var("N").map_or(150, |h| h.parse().unwrap());
    for frame in 0..frames {
        let grow = (frame / 30) % 3 != 2;
        for _ in 0..1200 {
            if grow && random(5) > 1 || live.is_empty() {
                let size = match random(1000) {
                    0..600 => 8 + random(200),
                    600..900 => 100 + random(900),
                    900..985 => 1000 + random(12000),
                    985..999 => 17000 + random(90000),
                    _ => 300_000 + random(400_000),
                };
                let layout = Layout::from_size_align(size, 8).unwrap();
                if let Ok(o) = model.heap.allocate(layout) {
                    live.push((o.cast(), size));
                }
            } else {
                let (object, size) = live.swap_remove(random(live.len()));
                model.free(object, size);
            }
        }
        if frame == 10 {
            model.heap.set_reserve(4);
        }
        model.draw(&mut picture, &mut canvas);
    }
    let mut out =
        std::format!("P6\n{} {}\n255\n", canvas.info.width, canvas.info.height).into_bytes();
    for pixel in canvas.bytes.chunks_exact(4) {
        out.extend(&pixel[..3]);
    }
    std::fs::write("/tmp/screen.ppm", out).unwrap();
}
