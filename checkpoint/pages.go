package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"

	"go.etcd.io/bbolt"
)

// bbolt's page format, version 2: https://pkg.go.dev/go.etcd.io/bbolt/internal/common. Reading all keys
// and values under guard would not do in place of it. Their checksums do not cover the keys of branches
// (a look-up goes astray), the list of free pages and the length of a page (a commit writes over what is
// in use). And a damaged page can make bbolt allocate until the process is killed, which is no panic.
//
// bbolt's own check follows the pointers of a damaged page in a goroutine of its own, where a fault ends
// the process; this one looks before it reads.
const (
	pageHeader = 16 // id 8, flags 2, count 2, overflow 4
	elementLen = 16 // leaf: flags 4, pos 4, ksize 4, vsize 4; branch: pos 4, ksize 4, page 8
	bucketLen  = 16 // root page 8, sequence 8; root 0: the page follows inline
	// magic 4, version 4, page size 4, flags 4, bucket 16, freelist 8, high 8, txid 8, sum 8
	metaLen     = 64
	firstPage   = 2 // pages 0 and 1 are meta pages
	noFreelist  = ^uint64(0)
	countIsNext = 0xffff // a freelist too long for count has its length in the first 8 bytes

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10
	bucketFlag   = 0x01
)

var native = binary.NativeEndian

// pageWalk visits every page of a file once.
type pageWalk struct {
	file *os.File
	size int64  // bytes of a page
	seen []bool // by page number, up to the highest in use
}

// page is a page in memory, with its overflow.
type page struct {
	id    uint64
	flags uint16
	count int
	data  []byte
}

// checkPages reads the file's pages from its root and its list of free pages: each page in use is
// reached exactly once, holds what it says it holds, and its keys lie between those of its parent.
func checkPages(db *bbolt.DB) error {
	file, err := os.Open(db.Path())
	if err != nil {
		return err
	}
	defer file.Close()
	w := &pageWalk{file: file, size: int64(db.Info().PageSize)}
	root, free, err := w.meta()
	if err != nil {
		return err
	}
	if err := w.tree(root, nil, nil); err != nil {
		return err
	}
	if free == noFreelist {
		return nil
	}
	if err := w.freelist(free); err != nil {
		return err
	}
	for id, seen := range w.seen {
		if !seen {
			return fmt.Errorf("page %d is neither in use nor free", id)
		}
	}
	return nil
}

// meta picks the younger valid meta page, as bbolt does.
func (w *pageWalk) meta() (root, free uint64, err error) {
	var high, youngest uint64
	found := false
	for i := range int64(firstPage) {
		b := make([]byte, metaLen)
		if _, err := w.file.ReadAt(b, i*w.size+pageHeader); err != nil {
			return 0, 0, err
		}
		sum := fnv.New64a()
		sum.Write(b[:56])
		if native.Uint64(b[56:]) != sum.Sum64() {
			continue
		}
		if txid := native.Uint64(b[48:]); !found || txid > youngest {
			found, youngest = true, txid
			root, free, high = native.Uint64(b[16:]), native.Uint64(b[32:]), native.Uint64(b[40:])
		}
	}
	info, err := w.file.Stat()
	if err != nil {
		return 0, 0, err
	}
	if !found || high < firstPage || high > uint64(info.Size()/w.size) {
		return 0, 0, errors.New("the file is shorter than its meta page says")
	}
	w.seen = make([]bool, high)
	w.seen[0], w.seen[1] = true, true
	return root, free, nil
}

// mark notes that a page was reached.
func (w *pageWalk) mark(id uint64) error {
	if id < firstPage || id >= uint64(len(w.seen)) || w.seen[id] {
		return fmt.Errorf("page %d is outside the file or reached twice", id)
	}
	w.seen[id] = true
	return nil
}

func (w *pageWalk) read(id uint64) (page, error) {
	if err := w.mark(id); err != nil {
		return page{}, err
	}
	b := make([]byte, w.size)
	if _, err := w.file.ReadAt(b, int64(id)*w.size); err != nil {
		return page{}, err
	}
	p := page{id: native.Uint64(b), flags: native.Uint16(b[8:]), count: int(native.Uint16(b[10:])), data: b}
	if p.id != id {
		return page{}, fmt.Errorf("page %d says that it is page %d", id, p.id)
	}
	overflow := uint64(native.Uint32(b[12:]))
	for i := range overflow {
		if err := w.mark(id + 1 + i); err != nil {
			return page{}, err
		}
	}
	if overflow > 0 {
		p.data = make([]byte, int64(overflow+1)*w.size)
		_, err := w.file.ReadAt(p.data, int64(id)*w.size)
		return p, err
	}
	return p, nil
}

// tree checks a page and all below it; its keys lie in [lo, hi), nil: no bound.
func (w *pageWalk) tree(id uint64, lo, hi []byte) error {
	p, err := w.read(id)
	if err != nil {
		return err
	}
	switch p.flags {
	case leafPage:
		return w.leaf(p, lo, hi)
	case branchPage:
		return w.branch(p, lo, hi)
	}
	return fmt.Errorf("page %d has flags %#x", id, p.flags)
}

func (w *pageWalk) branch(p page, lo, hi []byte) error {
	keys := make([][]byte, p.count)
	children := make([]uint64, p.count)
	for i := range p.count {
		at, err := p.element(i)
		if err != nil {
			return err
		}
		children[i] = native.Uint64(p.data[at+8:])
		if keys[i], err = p.slice(at, native.Uint32(p.data[at:]), native.Uint32(p.data[at+4:])); err != nil {
			return err
		}
	}
	if err := p.ordered(keys, lo, hi); err != nil {
		return err
	}
	for i, child := range children {
		end := hi
		if i+1 < len(keys) {
			end = keys[i+1]
		}
		if err := w.tree(child, keys[i], end); err != nil {
			return err
		}
	}
	return nil
}

func (w *pageWalk) leaf(p page, lo, hi []byte) error {
	keys := make([][]byte, p.count)
	for i := range p.count {
		at, err := p.element(i)
		if err != nil {
			return err
		}
		flags, pos := native.Uint32(p.data[at:]), native.Uint32(p.data[at+4:])
		ksize, vsize := native.Uint32(p.data[at+8:]), native.Uint32(p.data[at+12:])
		if keys[i], err = p.slice(at, pos, ksize); err != nil {
			return err
		}
		value, err := p.slice(at+int(pos)+int(ksize), 0, vsize)
		if err != nil {
			return err
		}
		if flags&bucketFlag != 0 {
			if err := w.bucket(p.id, value); err != nil {
				return err
			}
		}
	}
	return p.ordered(keys, lo, hi)
}

// bucket checks the tree of a bucket, or the page that its entry holds.
func (w *pageWalk) bucket(id uint64, entry []byte) error {
	if len(entry) < bucketLen {
		return fmt.Errorf("page %d: a bucket's entry is cut short", id)
	}
	if root := native.Uint64(entry); root != 0 {
		return w.tree(root, nil, nil)
	}
	inline := entry[bucketLen:]
	if len(inline) < pageHeader || native.Uint16(inline[8:]) != leafPage {
		return fmt.Errorf("page %d: a bucket's inline page is cut short", id)
	}
	return w.leaf(page{id: id, count: int(native.Uint16(inline[10:])), data: inline}, nil, nil)
}

// element is the offset of a page's i-th element.
func (p page) element(i int) (int, error) {
	at := pageHeader + i*elementLen
	if at+elementLen > len(p.data) {
		return 0, fmt.Errorf("page %d holds fewer elements than it says", p.id)
	}
	return at, nil
}

// slice is size bytes, pos behind at.
func (p page) slice(at int, pos, size uint32) ([]byte, error) {
	start, end := int64(at)+int64(pos), int64(at)+int64(pos)+int64(size)
	if end > int64(len(p.data)) {
		return nil, fmt.Errorf("page %d: an element reaches beyond it", p.id)
	}
	return p.data[start:end], nil
}

func (p page) ordered(keys [][]byte, lo, hi []byte) error {
	for i, k := range keys {
		switch {
		case i == 0 && lo != nil && bytes.Compare(k, lo) < 0,
			i > 0 && bytes.Compare(keys[i-1], k) >= 0,
			hi != nil && bytes.Compare(k, hi) >= 0:
			return fmt.Errorf("page %d: key %d is out of order", p.id, i)
		}
	}
	return nil
}

// freelist marks the free pages: one that is in use too would be overwritten.
func (w *pageWalk) freelist(id uint64) error {
	p, err := w.read(id)
	if err != nil {
		return err
	}
	ids, count := p.data[pageHeader:], uint64(p.count)
	if count == countIsNext {
		count, ids = native.Uint64(ids), ids[8:]
	}
	if p.flags != freelistPage || count > uint64(len(ids)/8) {
		return fmt.Errorf("page %d is not a list of free pages", id)
	}
	for i := range count {
		if err := w.mark(native.Uint64(ids[8*i:])); err != nil {
			return err
		}
	}
	return nil
}
