# SPDX-License-Identifier: GPL-3.0-or-later
"""Slow, obvious twins of the kernels of the native engine, on Python integers, sets and sorted lists.

A kernel and its twin must agree bit for bit. The twins are written from the definitions: a haplotype is a
set of mutations; a gamete is built site by site, by asking which strand the site is on; fitness is a sum over
a dict of genotype counts; a random stream is splitmix64 on unbounded integers. They know nothing of masks,
scratch, padding or look-up tables. `COVERED_BY` names the twin of each kernel that has none of its own name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, localcontext

COVERED_BY = {
    "effects_of": "set_effects",
    "axis_index": "carried",
    "copy8": "copy_runs",
    "draw_cuts": "crossovers",
    "copy_runs_and_sums": "copy_runs",
    "flagged_keys": "flagged_log_fitness",
    "give": "scatter",
    "mend_words": "splice",
    # these ask for memory and change no value
    "prefetch": "make_gametes",
    "fetch_row": "log_fitness",
    "fetch_rows": "make_gametes",
    "rare_correction": "common_correction",
    "segment_at": "nodes_at",
    "sum_words": "word_sum",
    "weigh_rows": "weigh",
    "whole_word_sum": "word_sum",
}
"""Kernels whose twin has another name, since they are the same on another representation or on many rows."""

GOLDEN = 0x9E3779B97F4A7C15
_TICK = 0xD1342543DE82EF95
_INDEX = 0xA24BAED4963EE407
_MODULUS = 1 << 64
CORRECTION_STEP = 2**-20
"""Corrections are rounded to a multiple of it; effects, and all sums, count in units of 2**-26."""
RARE = -1
DROP = -2


@dataclass(frozen=True, order=True)
class Mutation:
    """A mutation in a genome: its place on the genetic axis, its number, its fixed-point log effects."""

    axis: int
    number: int
    effect: int = field(default=0, compare=False)
    correction: int = field(default=0, compare=False)


Haplotype = frozenset[Mutation]


# ---------------------------------------------------------------------- bits


def popcount(x: int) -> int:
    return bin(x).count("1")


def lowest(x: int) -> int:
    return min(i for i in range(64) if x & (1 << i))


def mix(z: int) -> int:
    """The splitmix64 output function, as in Steele, Lea & Flood 2014 (10.1145/2660193.2660195), figure 16."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % _MODULUS
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % _MODULUS
    return z ^ (z >> 31)


def stream(key: int, tick: int, index: int) -> int:
    return mix(mix(key ^ (tick * _TICK % _MODULUS)) ^ (index * _INDEX % _MODULUS))


@dataclass
class Draws:
    """The draws of a stream, one after the other: the k-th is ``mix(start + k * GOLDEN)``, from k = 1."""

    start: int
    taken: int = 0

    def next(self) -> int:
        self.taken += 1
        return mix((self.start + self.taken * GOLDEN) % _MODULUS)

    @property
    def state(self) -> int:
        return (self.start + self.taken * GOLDEN) % _MODULUS


def below(z: int, n: int) -> int:
    """The upper half of ``z`` is a fraction of 2**32; so much of ``n``, rounded down."""
    return (z // 2**32) * n // 2**32


def unit(z: int) -> float:
    """The upper 53 bits of ``z``, as a fraction of 2**53 (a float holds it exactly)."""
    return (z // 2**11) / 2**53


def count_from(z: int, cdf: Sequence[int]) -> int:
    return min(k for k in range(len(cdf)) if cdf[k] > z)


# ---------------------------------------------------------------------- parents


def guide_table(cumulative: Sequence[int], m: int) -> list[int]:
    """For each j the first i with cumulative[i] > j * total / m, in whole numbers."""
    total = cumulative[-1]
    return [min(i for i in range(len(cumulative)) if cumulative[i] * m > j * total) for j in range(m)]


def choose_parent(z: int, weights: Sequence[int]) -> int:
    """Lay the weights on a line, end to end; the parent is the one whose stretch holds the point drawn."""
    at = int(unit(z) * float(sum(weights)))
    for i, weight in enumerate(weights):
        if at < weight:
            return i
        at -= weight
    raise AssertionError("the draw is beyond the sum of the weights")


def choose_parents(key: int, tick: int, rows: Iterable[int], weights: Sequence[int]) -> list[int]:
    """The parent of each gamete: from its stream's first draw."""
    return [choose_parent(Draws(stream(key, tick, g)).next(), weights) for g in rows]


def order_by_parent(parents: Sequence[int]) -> list[int]:
    """Gametes in order of their parents' numbers, those of one parent as they were."""
    return sorted(range(len(parents)), key=lambda i: (parents[i], i))


# ---------------------------------------------------------------------- meiosis


@dataclass(frozen=True)
class Meiosis:
    """What a gamete's draws decided: for each chromosome the strand it starts on, and its crossovers."""

    chrom_axis: Sequence[int]
    coins: Sequence[int]
    positions: Sequence[Sequence[int]]

    def strand(self, x: int) -> int:
        """The strand (0 or 1) that a site at axis position ``x`` comes from."""
        for c in range(len(self.coins)):
            if self.chrom_axis[c] <= x < self.chrom_axis[c + 1]:
                return (self.coins[c] + sum(at <= x for at in self.positions[c])) % 2
        raise AssertionError(f"{x} is on no chromosome")

    def cuts(self) -> list[int]:
        """All places where the strand changes, in order; two in the same place are two."""
        cuts: list[int] = []
        for c, coin in enumerate(self.coins):
            if c > 0:
                end = (self.coins[c - 1] + len(self.positions[c - 1])) % 2
                if end != coin:
                    cuts.append(self.chrom_axis[c])
            cuts.extend(sorted(self.positions[c]))
        return cuts

    @property
    def first(self) -> int:
        return self.coins[0]


def crossovers(draws: Draws, chrom_axis: Sequence[int], crossover_cdf: Sequence[Sequence[int]]) -> Meiosis:
    """Draw a meiosis. One draw gives the coins of 64 chromosomes, lowest bit first; one draw the numbers of
    crossovers of two chromosomes, from its upper half and then its lower; each position is a draw."""
    coins: list[int] = []
    positions: list[list[int]] = []
    halves: list[int] = []
    coin_draw = 0
    for c, cdf in enumerate(crossover_cdf):
        if c % 64 == 0:
            coin_draw = draws.next()
        coins.append(coin_draw // 2 ** (c % 64) % 2)
        if not halves:
            z = draws.next()
            halves = [z // 2**32, z % 2**32]
        n = count_from(halves.pop(0), cdf)
        start, end = chrom_axis[c], chrom_axis[c + 1]
        positions.append([start + below(draws.next(), end - start) for _ in range(n)])
    return Meiosis(chrom_axis, coins, positions)


def strand_at(x: int, cuts: Iterable[int]) -> int:
    """0 or 1: how often the strand has changed at or before ``x``."""
    return sum(cut <= x for cut in cuts) % 2


def first_at(x: int, axis: Iterable[int]) -> int:
    """Number of sites before ``x``."""
    return sum(site < x for site in axis)


def edges_of(cuts: Sequence[int], axis: Sequence[int]) -> list[int]:
    """Each cut as the number of sites before it."""
    return [first_at(cut, axis) for cut in cuts]


def splice(a: Collection[int], b: Collection[int], edges: Sequence[int], n_sites: int) -> set[int]:
    """Set bits of the row that is strand ``a``, changing to ``b`` and back at each edge (a bit's number)."""
    return {i for i in range(n_sites) if i in (a, b)[strand_at(i, edges)]}


def word_sum(row: Collection[int], w: int, effect: Sequence[int]) -> int:
    """Sum of the effects of the sites of the row that lie in word ``w``."""
    return sum(effect[i] for i in row if i // 64 == w)


def sum_cut_words(a: Collection[int], b: Collection[int], edges: Sequence[int], effect: Sequence[int]) -> list[int]:
    """The sums of all words of the spliced row."""
    row = splice(a, b, edges, len(effect))
    return [word_sum(row, w, effect) for w in range(len(effect) // 64)]


def copy_runs(a: Sequence[int], b: Sequence[int], edges: Sequence[int]) -> list[int]:
    """A value of ``a`` or ``b`` for each word, changing after each word in which an edge (a bit's number) is."""
    return [(a, b)[sum(edge // 64 < w for edge in edges) % 2][w] for w in range(len(a))]


def splice_rare(a: Iterable[Mutation], b: Iterable[Mutation], cuts: Sequence[int]) -> list[Mutation]:
    """The mutations of ``a`` where the gamete is on its first strand, and of ``b`` where on the other."""
    kept = [m for m in a if strand_at(m.axis, cuts) == 0]
    kept += [m for m in b if strand_at(m.axis, cuts) == 1]
    return sorted(kept)


def take_keys(row: Iterable[int], i: int, end: int) -> list[int]:
    """The keys of a sorted row from place ``i`` on that are below ``end``."""
    return [key for key in list(row)[i:] if key < end]


def skip_keys(row: Iterable[int], i: int, end: int) -> int:
    """The place of the first key from ``i`` on that is not below ``end``."""
    return i + len(take_keys(row, i, end))


def pad(row: Sequence[int], n: int) -> list[int]:
    """The first ``n`` keys, and eight of all ones."""
    return [*row[:n], *[2**64 - 1] * 8]


def insert_key(row: Iterable[int], key: int) -> list[int]:
    return sorted([*row, key])


# ---------------------------------------------------------------------- markers


def weigh(
    row: Collection[int], weight: Sequence[int], functional: Collection[int], far: Collection[int]
) -> tuple[int, int, int]:
    """Summed weights of the markers that are set: all of them, the functional ones, the far ones."""
    return (
        sum(weight[i] for i in row),
        sum(weight[i] for i in row if i in functional),
        sum(weight[i] for i in row if i in far),
    )


# ---------------------------------------------------------------------- new mutations


@dataclass(frozen=True)
class Segment:
    """Bases of the target that lie together: how many, and the axis positions of both ends."""

    length: int
    axis_start: int
    axis_end: int


@dataclass(frozen=True)
class Fresh:
    """A new mutation, as drawn."""

    site: int
    axis: int
    s: float
    h: float
    effect: int
    correction: int
    uid: int
    born: int


def count_mutations(key: int, tick: int, cdf: Sequence[int], n: int) -> list[int]:
    """How many new mutations each of ``n`` gametes has: from the upper half of its stream's first draw."""
    return [count_from(Draws(stream(key, tick, g)).next() // 2**32, cdf) for g in range(n)]


def new_mutations(
    key: int,
    tick: int,
    g: int,
    n: int,
    target: Sequence[Segment],
    s_nodes: Sequence[float],
    h_bins: Sequence[float],
) -> list[Fresh]:
    """The ``n`` new mutations of gamete ``g``; each takes a draw for its place, for s and for its uid."""
    draws = Draws(stream(key, tick, g))
    draws.next()  # the one that gave the number
    found = []
    for _ in range(n):
        site = below(draws.next(), sum(segment.length for segment in target))
        offset = site
        for segment in target:
            if offset < segment.length:
                break
            offset -= segment.length
        else:
            raise AssertionError("the base is beyond the target")
        axis = segment.axis_start + offset * (segment.axis_end - segment.axis_start) // segment.length
        u = unit(draws.next()) * len(h_bins)
        b = int(u)
        s = s_nodes[b] + (u - b) * (s_nodes[b + 1] - s_nodes[b])
        effect, correction = set_effects(s, h_bins[b])
        found.append(Fresh(site, axis, s, h_bins[b], effect, correction, draws.next(), tick))
    return found


def set_effects(s: float, h: float) -> tuple[int, int]:
    """log(1 + hs) to the nearest 2**-26, and log(1 + s) - 2 log(1 + hs) to the nearest `CORRECTION_STEP`.

    Both in units of 2**-26; worked out to 50 digits, and then rounded once.
    """
    step = int(CORRECTION_STEP * 2**26)
    with localcontext() as context:
        context.prec = 50
        het = (1 + Decimal(h) * Decimal(s)).ln()
        hom = (1 + Decimal(s)).ln()
        return round(het * 2**26), step * round((hom - 2 * het) * 2**26 / step)


# ---------------------------------------------------------------------- whole gametes


@dataclass(frozen=True)
class Chromatid:
    """A haplotype: its mutations, and for each plane of markers the numbers of those that are set."""

    mutations: Haplotype
    marks: tuple[frozenset[int], ...] = ()


@dataclass(frozen=True)
class Gamete:
    """A gamete, and the number of the parent that made it."""

    parent: int
    chromatid: Chromatid
    load: int


def make_gametes(
    key: int,
    tick: int,
    g: int,
    parents: Sequence[tuple[Chromatid, Chromatid]],
    weights: Sequence[int],
    chrom_axis: Sequence[int],
    crossover_cdf: Sequence[Sequence[int]],
    mark_axis: Sequence[int],
    fresh: Iterable[Mutation],
) -> Gamete:
    """Gamete ``g``: its stream's first draw chooses the parent, the others make the meiosis."""
    draws = Draws(stream(key, tick, g))
    parent = choose_parent(draws.next(), weights)
    meiosis = crossovers(draws, chrom_axis, crossover_cdf)
    strands = parents[parent]
    mutations = {m for strand in (0, 1) for m in strands[strand].mutations if meiosis.strand(m.axis) == strand} | set(
        fresh
    )
    marks = tuple(
        frozenset(k for k, x in enumerate(mark_axis) if k in strands[meiosis.strand(x)].marks[q])
        for q in range(len(strands[0].marks))
    )
    return Gamete(parent, Chromatid(frozenset(mutations), marks), haplotype_load(mutations))


# ---------------------------------------------------------------------- cohorts


def common_correction(a: Collection[Mutation], b: Collection[Mutation]) -> int:
    """Sum over the mutations that both carry of log(1 + s) - 2 log(1 + hs)."""
    return sum(m.correction for m in set(a) & set(b))


def haplotype_load(haplotype: Iterable[Mutation]) -> int:
    """Sum of log(1 + hs)."""
    return sum(m.effect for m in haplotype)


def log_fitness(a: Collection[Mutation], b: Collection[Mutation]) -> int:
    """Sum over loci of log(1 + hs) where one copy is carried, and of log(1 + s) where two are."""
    genotype = Counter([*a, *b])
    return sum(m.effect if copies == 1 else 2 * m.effect + m.correction for m, copies in genotype.items())


def flagged_log_fitness(a: Collection[Mutation], b: Collection[Mutation], flagged: Callable[[Mutation], bool]) -> int:
    """The same over the flagged mutations alone."""
    return log_fitness([m for m in a if flagged(m)], [m for m in b if flagged(m)])


def count_rare(haplotypes: Iterable[Iterable[Mutation]]) -> Counter[int]:
    """Copies of each mutation, by number."""
    return Counter(m.number for haplotype in haplotypes for m in haplotype)


def see_rare(haplotypes: Iterable[Iterable[Mutation]]) -> set[int]:
    """Numbers of the mutations that anybody carries."""
    return {m.number for haplotype in haplotypes for m in haplotype}


def check_rare(lists: Iterable[Sequence[tuple[int, int]]], axis: Mapping[int, int], barred: Collection[int]) -> int:
    """First of the lists of (position, number) that is not sorted, has a wrong position or a barred number, or -1."""
    for g, pairs in enumerate(lists):
        lawful = list(pairs) == sorted(set(pairs))
        if not lawful or any(number in barred or axis.get(number) != at for at, number in pairs):
            return g
    return -1


def count_bits(rows: Iterable[Collection[int]]) -> Counter[int]:
    """How many rows have each bit set."""
    return Counter(i for row in rows for i in row)


def recode(
    haplotype: Iterable[Mutation], added: Iterable[Mutation], target: Mapping[int, int]
) -> tuple[set[int], list[Mutation]]:
    """Bits and rare mutations of a haplotype, and of what it carries unseen, in the layout of ``target``."""
    carried = [*haplotype, *added]
    bits = {target[m.number] for m in carried if target[m.number] >= 0}
    return bits, sorted(m for m in carried if target[m.number] == RARE)


def remark(marks: Sequence[Collection[int]], plane: int, n_planes: int, n_markers: int) -> list[Collection[int]]:
    """The marks of each plane; with ``plane`` >= 0 all of that plane's and none of the others'."""
    if plane < 0:
        return list(marks)
    return [set(range(n_markers)) if q == plane else set() for q in range(n_planes)]


# ---------------------------------------------------------------------- founders


def scatter(key: int, counts: Sequence[int], n: int) -> list[set[int]]:
    """Which of ``n`` haplotypes carry each mutation: ``counts[k]`` different ones, drawn one by one; of a
    mutation that more than half of them carry, those that do not are drawn."""
    carriers = []
    for k, count in enumerate(counts):
        draws = Draws(stream(key, 0, k))
        few = min(count, n - count)
        drawn: set[int] = set()
        while len(drawn) < few:
            drawn.add(below(draws.next(), n))
        carriers.append(drawn if count == few else set(range(n)) - drawn)
    return carriers


# ---------------------------------------------------------------------- ancestral material

Material = dict[int, int]
"""Ancestral positions of a haplotype, each with its node."""
Edges = set[tuple[int, int, int]]
"""(position, parent, child)."""


def children_by_parent(parent: Sequence[int], count: Sequence[int], n: int) -> list[list[int]]:
    """For each of ``n`` individuals the haplotypes with ancestral material that it made."""
    return [[h for h, p in enumerate(parent) if p == i and count[h]] for i in range(n)]


def cut_segments(material: Material, cuts: Sequence[int], first: int) -> tuple[Material, Material]:
    """What of a gamete's material lies on strand 0 and on strand 1 of its parent; it starts on ``first``."""
    sides: tuple[Material, Material] = {}, {}
    for x, node in material.items():
        sides[(first + strand_at(x, cuts)) % 2][x] = node
    return sides


def join_lists(lists: Sequence[Material], own: int) -> tuple[Material, Edges]:
    """All material; where several lists have some it is of node ``own`` (or of 0 and without edges, below 0)."""
    joined: Material = {}
    edges: Edges = set()
    for x in {x for material in lists for x in material}:
        nodes = [material[x] for material in lists if x in material]
        joined[x] = nodes[0] if len(nodes) == 1 else max(own, 0)
        if len(nodes) > 1 and own >= 0:
            edges |= {(x, own, child) for child in nodes}
    return joined, edges


def keep_node(material: Material, own: int, everywhere: Iterable[int] = ()) -> tuple[Material, Edges]:
    """The material below node ``own``, which a sampled haplotype has everywhere."""
    edges = {(x, own, child) for x, child in material.items() if child != own}
    return dict.fromkeys([*material, *everywhere], own), edges


@dataclass(frozen=True)
class Child:
    """A haplotype with ancestral material: how it was made, whether its lineages keep nodes."""

    material: Material
    cuts: Sequence[int]
    first: int
    marked: bool = False


def climb(
    children: Sequence[Child], bases: tuple[int, int], keep: tuple[int, int], everywhere: Collection[int]
) -> tuple[list[Material], Edges, list[int]]:
    """The material of one individual's two haplotypes, from its children's; edges; why nodes were kept.

    ``bases`` are the haplotypes' nodes, below 0 where no tree is wanted. Bit 2 of ``keep`` is a migration's, 4 a
    sample's.
    """
    out: list[Material] = []
    edges: Edges = set()
    reasons = []
    for side in (0, 1):
        lists = [cut_segments(c.material, c.cuts, c.first)[side] for c in children]
        moved = any(c.marked and material for c, material in zip(children, lists, strict=True))
        reason = keep[side] | (2 if moved else 0)
        material, found = join_lists(lists, bases[side])
        edges |= found
        if reason & 4 or (reason and bases[side] >= 0):
            material, found = keep_node(material, max(bases[side], 0), everywhere if reason & 4 else ())
            edges |= found
        out.append(material)
        reasons.append(reason)
    return out, edges, reasons


def nodes_at(materials: Sequence[Material], asked: Iterable[tuple[int, int]]) -> list[int]:
    """The node at each (haplotype, position); -1 where that is not ancestral."""
    return [materials[hap].get(x, -1) for hap, x in asked]


def carried(materials: Sequence[Material], haplotypes: Sequence[Mapping[int, int]]) -> list[tuple[int, int]]:
    """(mutation, node) for each mutation (id: position) that a haplotype has on ancestral material."""
    pairs = zip(materials, haplotypes, strict=True)
    return sorted((m, material[x]) for material, hap in pairs for m, x in hap.items() if x in material)
