// From active sites to the search for a site's row.

#include "sites.cuh"

struct IndexSites {
    Coordinates sites;  // in canonical order
    Grid grid;
    Index index;
};

// One thread a site. Rows are in canonical order, so a word's first site is the one whose predecessor
// lies in another word: no prefix sum is needed. The words are 0 before.
__global__ void mark_sites(const IndexSites p) {
    const long long row = thread_number();
    if (row >= p.sites.count) {
        return;
    }
    const long long key = key_of(site_at(p.sites, row), p.grid);
    const long long word = key / WORD_BITS;
    atomicOr(p.index.words + word, 1u << key % WORD_BITS);
    if (row == 0 || key_of(site_at(p.sites, row - 1), p.grid) / WORD_BITS != word) {
        p.index.ranks[word] = static_cast<int>(row);
    }
}

// One thread a site. The keys are NO_KEY before.
__global__ void insert_sites(const IndexSites p) {
    const long long row = thread_number();
    if (row >= p.sites.count) {
        return;
    }
    const long long key = key_of(site_at(p.sites, row), p.grid);
    long long slot = slot_of(key, p.index.slots);
    while (atomicCAS(reinterpret_cast<unsigned long long*>(p.index.keys + slot),
                     static_cast<unsigned long long>(NO_KEY),
                     static_cast<unsigned long long>(key)) !=
           static_cast<unsigned long long>(NO_KEY)) {
        slot = (slot + 1) & (p.index.slots - 1);
    }
    p.index.rows[slot] = static_cast<int>(row);
}
