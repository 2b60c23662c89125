# SPDX-License-Identifier: GPL-3.0-or-later
"""A Wright-Fisher model of whole individuals in plain Python: the slow twin of the native engine's World.

A haplotype is a set of mutation identities and a list of marker labels. Nothing here is shared with the
engine but its inputs (genome, selection, names of streams): even the random numbers are made again, from the
published definition of splitmix64, so that parents and crossovers can be compared too.
"""

import math
from bisect import bisect_right

import numpy as np

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
ONE = 1 << 26


def mix(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


class Stream:
    """The draws of one gamete in one tick."""

    def __init__(self, key, tick, index):
        at = mix(int(key) ^ ((tick * 0xD1342543DE82EF95) & MASK))
        self.state = mix(at ^ ((index * 0xA24BAED4963EE407) & MASK))

    def word(self):
        self.state = (self.state + GOLDEN) & MASK
        return mix(self.state)


def unit(word):
    return (word >> 11) / 2.0**53


def below(word, n):
    return ((word >> 32) * n) >> 32


def poisson(draw32, cdf):
    return next(k for k, edge in enumerate(cdf) if draw32 < int(edge))


class Mutation:
    """Position on the genetic axis, effects, and where it arose.

    ``one`` and ``two`` are the log effects of one and two copies in units of 2**-26. How they are rounded is
    the engine's choice: `Model.adopt` takes its whole numbers once it has seen that they are near enough.
    """

    def __init__(self, axis, s, h, born, lineage):
        self.axis, self.s, self.h, self.born, self.lineage = axis, s, h, born, lineage
        self.one = self.two = None

    def adopt(self, one, two):
        assert abs(one / ONE - math.log1p(self.h * self.s)) <= 2.0**-27 * (1 + 1e-6)
        assert abs(two / ONE - math.log1p(self.s)) <= 5e-7
        assert self.one in (None, one) and self.two in (None, two)
        self.one, self.two = one, two


class Model:
    """Demes of individuals; an individual is two haplotypes, a haplotype (set of uids, list of labels).

    A marker's label is the plane of the source that it came from by the latest pulse, or -1.
    """

    def __init__(self, tables, names, key, selected=True):
        self.tables, self.names, self.key, self.selected = tables, names, key, selected
        self.mutations = {}
        self.demes = {}

    def found(self, deme, n):
        """Begin a deme of n individuals without mutations."""
        labels = [-1] * self.tables.n_markers
        self.demes[deme] = [[(set(), labels), (set(), labels)] for _ in range(n)]

    def adopt(self, table):
        """Take the rounded effects of the mutations in the engine's table."""
        effect, correction = table["effect"].tolist(), table["correction"].tolist()
        for k, uid in enumerate(table["uid"].tolist()):
            if uid in self.mutations:
                m = self.mutations[uid]
                assert (m.axis, m.s, m.h, m.born, m.lineage) == tuple(
                    table[name][k].item() for name in ("axis", "s", "h", "born", "lineage")
                )
                m.adopt(effect[k], 2 * effect[k] + correction[k])

    def log_fitness(self, deme):
        """Exact log fitness of each individual, in units of 2**-26."""
        if not self.selected:
            return [0] * len(self.demes[deme])
        return [self._log(a, b) for (a, _), (b, _) in self.demes[deme]]

    def _log(self, a, b):
        return sum(self.mutations[u].two if u in b else self.mutations[u].one for u in a) + sum(
            self.mutations[u].one for u in b - a
        )

    def breed(self, tick, cohorts):
        weights = {}
        for source in {g.source for c in cohorts.values() for g in c.groups}:
            log = np.array(self.log_fitness(source))
            weights[source] = np.cumsum(np.rint(np.exp((log - log.max()) / ONE) * 2.0**32).astype(np.uint64))
        made, parents = {}, {}
        for deme, cohort in cohorts.items():
            gametes, who = [None] * (2 * cohort.n), [None] * (2 * cohort.n)
            key = {p: self.key(p, self.names[deme]) for p in ("gametes", "mutations")}
            for group in cohort.groups:
                for g in map(int, group.rows):
                    assert gametes[g] is None, "a gamete that two groups make"
                    who[g], gametes[g] = self._gamete(key, tick, g, group, weights[group.source], deme)
            made[deme] = [[gametes[2 * i], gametes[2 * i + 1]] for i in range(cohort.n)]
            parents[deme] = who
        self.demes = made
        return parents

    def _gamete(self, key, tick, g, group, cumulative, deme):
        stream = Stream(key["gametes"], tick, g)
        at = int(unit(stream.word()) * float(cumulative[-1]))
        parent = int(np.searchsorted(cumulative, np.uint64(at), side="right"))
        cuts, first = self._crossovers(stream)
        pair = self.demes[group.source][parent]
        (a, a_marks), (b, b_marks) = pair[first], pair[1 - first]
        inherited = {u for u in a if not self._other(cuts, self.mutations[u].axis)}
        inherited |= {u for u in b if self._other(cuts, self.mutations[u].axis)}
        axis = self.tables.mark_axis[:-1]  # the last position only closes the list
        marks = [b_marks[k] if self._other(cuts, int(x)) else a_marks[k] for k, x in enumerate(axis)]
        if group.plane >= 0:
            marks = [group.plane] * len(marks)
        if self.selected:
            inherited |= self._new(Stream(key["mutations"], tick, g), tick, deme)
        return parent, (inherited, marks)

    @staticmethod
    def _other(cuts, axis):
        return bisect_right(cuts, axis) & 1

    def _crossovers(self, stream):
        t = self.tables
        coins = stream.word()
        first = strand = coins & 1
        cuts, spare = [], None
        for c in range(len(t.crossover_cdf)):
            assert c < 64
            coin = (coins >> c) & 1
            if c and coin != strand:
                cuts.append(int(t.chrom_axis[c]))
            if spare is None:
                word = stream.word()
                draw, spare = word >> 32, word & 0xFFFFFFFF
            else:
                draw, spare = spare, None
            n = poisson(draw, t.crossover_cdf[c])
            start, end = int(t.chrom_axis[c]), int(t.chrom_axis[c + 1])
            cuts += sorted(start + below(stream.word(), end - start) for _ in range(n))
            strand = coin ^ (n & 1)
        return cuts, first

    def _new(self, stream, tick, deme):
        t = self.tables
        found = set()
        for _ in range(poisson(stream.word() >> 32, t.mutation_cdf)):
            base = below(stream.word(), int(t.target_cum[-1]))
            j = int(np.searchsorted(t.target_cum, base, side="right")) - 1
            length = int(t.target_cum[j + 1] - t.target_cum[j])
            room = int(t.target_axis_end[j]) - int(t.target_axis_start[j])
            axis = int(t.target_axis_start[j]) + (base - int(t.target_cum[j])) * room // length
            u = unit(stream.word()) * len(t.h_bins)
            b = int(u)
            s = float(t.s_nodes[b]) + (u - b) * (float(t.s_nodes[b + 1]) - float(t.s_nodes[b]))
            uid = stream.word()
            assert uid not in self.mutations
            self.mutations[uid] = Mutation(axis, s, float(t.h_bins[b]), tick, deme)
            found.add(uid)
        return found

    # ------------------------------------------------------------------ what can be asked

    def haplotypes(self, deme):
        return [set(h[0]) for pair in self.demes[deme] for h in pair]

    def counts(self, deme):
        """Copies of each mutation that anybody in the deme carries, by uid."""
        out = {}
        for haplotype in self.haplotypes(deme):
            for u in haplotype:
                out[u] = out.get(u, 0) + 1
        return out

    def labels(self, deme):
        """int[2N, markers]"""
        return np.array([h[1] for pair in self.demes[deme] for h in pair])

    def shares(self, deme, plane):
        """Each individual's share of a source, exactly: (numerator, denominator)."""
        weight = self.tables.mark_weight[: self.tables.n_markers]
        whole = ((self.labels(deme) == plane) * weight).sum(axis=1)
        return whole[0::2] + whole[1::2], 2 * int(weight.sum())

    def flagged(self, deme, uids):
        """Log fitness of each individual if it carried only these mutations."""
        return [self._log(a & uids, b & uids) for (a, _), (b, _) in self.demes[deme]]


def haplotypes_of(world, deme):
    """A World's haplotypes as sets of uids, from its arrays: bits, lists and fixed mutations."""
    d, m = world.demes[deme], world.mutations
    fixed = set(m["uid"][d.fixed].tolist())
    out = []
    for row in range(2 * d.n):
        bits = np.unpackbits(d.rows.bits[row].view(np.uint8), bitorder="little")[: len(d.layout.ids)]
        common = m["uid"][d.layout.ids[bits.astype(bool)]].tolist()
        keys = d.rows.rare[row, : d.rows.n_rare[row]]
        rare = m["uid"][(keys & np.uint64(0xFFFFFFFF)).astype(np.int64)].tolist()
        assert len(fixed) + len(common) + len(rare) == len(fixed | set(common) | set(rare))
        assert (np.diff(keys.astype(object)) > 0).all()
        out.append(fixed | set(common) | set(rare))
    return out


def labels_of(world, deme):
    """A World's marker labels, int[2N, markers]."""
    marks = world.demes[deme].rows.marks
    out = np.full((marks.shape[1], world.tables.n_markers), -1)
    for q, plane in enumerate(marks):
        bits = np.unpackbits(plane.view(np.uint8), axis=1, bitorder="little")[:, : world.tables.n_markers]
        assert (out[bits == 1] == -1).all(), "a marker of two sources"
        out[bits == 1] = q
    return out


def check_equal(world, model):
    """Assert that a World and a Model hold the same people, mutation by mutation."""
    assert sorted(world.demes) == sorted(model.demes)
    model.adopt(world.mutations)
    for deme in world.demes:
        assert haplotypes_of(world, deme) == model.haplotypes(deme)
        log = np.array(model.log_fitness(deme))
        assert np.array_equal(world.log_fitness(deme), log / ONE)
        uid, counts = world.mutations["uid"], world.counts(deme)
        assert {int(uid[k]): int(counts[k]) for k in np.flatnonzero(counts)} == model.counts(deme)
        if world.n_planes:
            labels = model.labels(deme)
            assert np.array_equal(labels_of(world, deme), labels)
            for q in range(world.n_planes):
                numerator, denominator = model.shares(deme, q)
                assert np.array_equal(world.shares(deme)[q], numerator / float(denominator))
                assert np.array_equal(world.marker_shares(deme, q), (labels == q).sum(axis=0) / len(labels))
