//! The heap map: a tile a block, by address.
//!
//! Blocks come a few at a time, in rounds; a tile is drawn when its block comes by and looks otherwise than last time. When
//! they become too many, all tiles are drawn smaller; when even the smallest do not fit, the map says how many it leaves out.
#![forbid(unsafe_code)]

use alloc::vec::Vec;

use embedded_graphics_core::primitives::Rectangle;
use stack_alloc::BlockSnapshot;

use super::surface::Surface;
use super::text::Line;
use super::theme;
use super::tile::{Scale, Tile};

/// The map.
#[derive(Debug)]
pub(crate) struct Map {
    /// Where the tiles are.
    area: Rectangle,
    /// The line behind the heading.
    caption: Line,
    /// How large they are.
    scale: Scale,
    /// What is on the surface. Its length is fixed.
    tiles: Vec<Tile>,
    /// Tiles that are on the surface.
    shown: usize,
    /// Blocks that came by in this round.
    round: usize,
    /// Blocks there were in the round before.
    blocks: usize,
}

impl Map {
    /// Returns a map for up to `blocks` blocks, or as many as fit; how many there are is written to `caption`. `None` when
    /// memory is out.
    pub(crate) fn new(area: Rectangle, caption: Line, blocks: usize) -> Option<Self> {
        let [largest, .., smallest] = Scale::ALL;
        let capacity = smallest.capacity(area.size).min(blocks);
        let mut tiles = Vec::new();
        tiles.try_reserve_exact(capacity).ok()?;
        tiles.resize(capacity, Tile::NOTHING);
        Some(Self {
            area,
            caption,
            scale: largest,
            tiles,
            shown: 0,
            round: 0,
            blocks: 0,
        })
    }

    /// Draws up to `budget` of the next blocks. `next` gives one after the other, and `None` behind the last of a round.
    pub(crate) fn draw(
        &mut self,
        surface: &mut Surface<'_>,
        budget: usize,
        next: &mut dyn FnMut() -> Option<BlockSnapshot>,
    ) {
        for _ in 0..budget {
            match next() {
                Some(block) => self.draw_block(surface, &block),
                None => return self.end_round(surface),
            }
        }
    }

    /// Draws the next block of the round.
    fn draw_block(&mut self, surface: &mut Surface<'_>, block: &BlockSnapshot) {
        let number = self.round;
        self.round += 1;
        // A new block is not to wait for the end of the round, nor to be drawn where no room is.
        if self.round > self.scale.capacity(self.area.size) {
            self.rescale(surface, self.round);
        }
        self.show(surface, number, Tile::of(block));
        self.shown = self.shown.max(self.round.min(self.tiles.len()));
    }

    /// Ends a round: now the number of blocks is known.
    fn end_round(&mut self, surface: &mut Surface<'_>) {
        for number in self.round..self.shown {
            self.show(surface, number, Tile::NOTHING);
        }
        self.blocks = self.round;
        self.round = 0;
        self.shown = self.blocks.min(self.tiles.len());
        // With room to spare, so that a block more or less does not change the scale all the time.
        let roomy = self.blocks + self.blocks / 4;
        if self.best_scale(roomy).cell > self.scale.cell {
            self.rescale(surface, roomy);
        }
        self.show_caption(surface);
    }

    /// Returns the largest scale at which so many tiles fit; else the smallest.
    fn best_scale(&self, tiles: usize) -> Scale {
        let [.., smallest] = Scale::ALL;
        let fits = |scale: &Scale| scale.capacity(self.area.size) >= tiles;
        Scale::ALL.into_iter().find(fits).unwrap_or(smallest)
    }

    /// Draws all tiles anew, at the largest scale at which so many fit.
    fn rescale(&mut self, surface: &mut Surface<'_>, tiles: usize) {
        let scale = self.best_scale(tiles);
        if scale == self.scale {
            return;
        }
        self.scale = scale;
        surface.fill(self.area, theme::PANEL);
        for number in 0..self.shown {
            let place = scale.place(self.area, number);
            self.tiles[number].draw_over(&Tile::NOTHING, surface, place, scale);
        }
    }

    /// Shows a tile, if it is one of those that have a place.
    fn show(&mut self, surface: &mut Surface<'_>, number: usize, tile: Tile) {
        let fits = number < self.scale.capacity(self.area.size);
        let Some(shown) = self.tiles.get_mut(number).filter(|_| fits) else {
            return;
        };
        let place = self.scale.place(self.area, number);
        tile.draw_over(shown, surface, place, self.scale);
        *shown = tile;
    }

    /// Returns what the line behind the heading says.
    #[cfg(test)]
    pub(crate) fn caption(&self) -> &str {
        self.caption.shown()
    }

    /// Says how many blocks there are.
    fn show_caption(&mut self, surface: &mut Surface<'_>) {
        let capacity = self.scale.capacity(self.area.size).min(self.tiles.len());
        let plural = if self.blocks == 1 { "" } else { "s" };
        let blocks = self.blocks;
        match blocks.saturating_sub(capacity) {
            0 => self.caption.show(
                surface,
                format_args!(
                    "{blocks} block{plural} of 256 KiB: a cell a page, filled as far as used"
                ),
            ),
            hidden => self.caption.show(
                surface,
                format_args!("{blocks} blocks of 256 KiB; the last {hidden} are not shown"),
            ),
        }
    }
}
