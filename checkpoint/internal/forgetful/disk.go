package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// sector is what a disk writes whole or not at all.
const sector = 512

// disk is a tree of folders and files, and what of it would outlast a cut.
type disk struct {
	mu    sync.Mutex
	root  *node
	since int // the cut that the tree goes back to; nodes of trees before are dead
	inos  uint64
	cuts  int // so far; one more than since while the power is away

	armed bool
	left  int // changes until the cut, where one is armed
	seed  uint64
	later *node // the tree that the cut has left, until the power is back
	lost  int   // writes and changes of folders that were not synced at the last cut
}

func newDisk() *disk {
	d := &disk{inos: 10}
	d.root = d.newNode(true)
	return d
}

// node is a folder or a file. What is not synced is kept beside what is.
type node struct {
	fs.Inode
	d     *disk
	ino   uint64
	since int

	data, safe []byte
	writes     []write

	kids, safeKids map[string]*node // nil: a file
	entries        []entry
}

// write is one to a file, or, without data, a new size.
type write struct {
	at   int64
	data []byte
}

// entry is a change of a folder: to has the node from then on, which from had; "" for none.
type entry struct {
	from, to string
	node     *node
}

func (d *disk) newNode(folder bool) *node {
	d.inos++
	n := &node{d: d, ino: d.inos, since: d.since}
	if folder {
		n.kids, n.safeKids = map[string]*node{}, map[string]*node{}
	}
	return n
}

// change carries out what changes the disk, unless the power is away, or goes away with it: what a change
// has written is then as good as any that is not synced, and a sync has not taken place.
func (n *node) change(fn func()) syscall.Errno { return n.do(fn, false) }
func (n *node) sync(fn func()) syscall.Errno   { return n.do(fn, true) }

func (n *node) do(fn func(), sync bool) syscall.Errno {
	d := n.d
	if n.since != d.cuts {
		return syscall.EIO
	}
	last := d.armed && d.left == 0
	if !last || !sync {
		fn()
	}
	if last {
		d.cut()
		return syscall.EIO
	}
	d.left--
	return 0
}

// cut takes the power away, and draws what is left of the tree.
func (d *disk) cut() {
	d.armed, d.lost = false, 0
	d.cuts++
	since := d.since
	d.since = d.cuts
	d.later = d.survivor(d.root, rand.New(rand.NewPCG(d.seed, uint64(d.cuts))), map[*node]*node{})
	d.since = since
}

// back gives the power back.
func (d *disk) back() {
	if d.later == nil {
		d.cut()
	}
	d.root, d.later, d.since = d.later, nil, d.cuts
}

// survivor is what is left of a node: what was synced, and any of what came later.
func (d *disk) survivor(n *node, rnd *rand.Rand, made map[*node]*node) *node {
	if made[n] != nil {
		return made[n]
	}
	s := d.newNode(n.kids != nil)
	made[n] = s
	d.lost += len(n.writes) + len(n.entries)
	keep := draw(rnd, max(len(n.writes), len(n.entries)))
	if n.kids == nil {
		s.data = slices.Clone(n.safe)
		for i, w := range n.writes {
			if keep(i) {
				s.data = w.apply(s.data)
				continue
			}
			for at := 0; at < len(w.data); { // torn
				end := min(len(w.data), at+sector-int(w.at+int64(at))%sector)
				if keep(i) {
					s.data = write{w.at + int64(at), w.data[at:end]}.apply(s.data)
				}
				at = end
			}
		}
		s.safe = slices.Clone(s.data)
		return s
	}
	left := maps.Clone(n.safeKids)
	for i, e := range n.entries {
		if keep(i) {
			e.apply(left)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		s.kids[name] = d.survivor(left[name], rnd, made)
	}
	s.safeKids = maps.Clone(s.kids)
	return s
}

// draw tells which of n changes in a row are kept: none, all, those before one, or any, each asked for anew.
func draw(rnd *rand.Rand, n int) func(i int) bool {
	first := rnd.IntN(n + 1)
	switch rnd.IntN(4) {
	case 0:
		return func(int) bool { return false }
	case 1:
		return func(int) bool { return true }
	case 2:
		return func(i int) bool { return i < first || i == first && rnd.IntN(2) == 0 }
	}
	return func(int) bool { return rnd.IntN(2) == 0 }
}

func (w write) apply(to []byte) []byte {
	if w.data == nil {
		return append(to[:min(int64(len(to)), w.at)], make([]byte, max(0, w.at-int64(len(to))))...)
	}
	if end := w.at + int64(len(w.data)); end > int64(len(to)) {
		to = append(to, make([]byte, end-int64(len(to)))...)
	}
	copy(to[w.at:], w.data)
	return to
}

func (e entry) apply(to map[string]*node) {
	if e.from != "" && to[e.from] == e.node {
		delete(to, e.from)
	}
	if e.to != "" {
		to[e.to] = e.node
	}
}

func (n *node) write(w write) {
	n.data = w.apply(n.data)
	n.writes = append(n.writes, w)
}

func (n *node) enter(e entry) {
	e.apply(n.kids)
	n.entries = append(n.entries, e)
}

// What follows is what the kernel asks for.

func (n *node) lock() func() { n.d.mu.Lock(); return n.d.mu.Unlock }

func (n *node) attr(out *fuse.Attr) {
	out.Ino, out.Mode, out.Size, out.Nlink = n.ino, n.mode()|0o700, uint64(len(n.data)), 1
}

func (n *node) mode() uint32 {
	if n.kids != nil {
		return syscall.S_IFDIR
	}
	return syscall.S_IFREG
}

func (n *node) inode(ctx context.Context, child *node, out *fuse.EntryOut) *fs.Inode {
	child.attr(&out.Attr)
	return n.NewInode(ctx, child, fs.StableAttr{Mode: child.mode(), Ino: child.ino})
}

func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	defer n.lock()()
	child := n.kids[name]
	if child == nil {
		return nil, syscall.ENOENT
	}
	return n.inode(ctx, child, out), 0
}

func (n *node) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	defer n.lock()()
	n.attr(&out.Attr)
	return 0
}

func (n *node) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) (errno syscall.Errno) {
	defer n.lock()()
	if size, ok := in.GetSize(); ok {
		errno = n.change(func() { n.write(write{at: int64(size)}) })
	}
	n.attr(&out.Attr)
	return errno
}

func (n *node) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) { return nil, 0, 0 }

func (n *node) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	defer n.lock()()
	off = min(off, int64(len(n.data)))
	return fuse.ReadResultData(slices.Clone(n.data[off:min(int64(len(n.data)), off+int64(len(dest)))])), 0
}

func (n *node) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	defer n.lock()()
	return uint32(len(data)), n.change(func() { n.write(write{off, slices.Clone(data)}) })
}

// Fsync makes a file durable, or which names a folder has: never the one with the other.
func (n *node) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	defer n.lock()()
	return n.sync(func() {
		for _, w := range n.writes {
			n.safe = w.apply(n.safe)
		}
		for _, e := range n.entries {
			e.apply(n.safeKids)
		}
		n.writes, n.entries = nil, nil
	})
}

func (n *node) Create(ctx context.Context, name string, _, _ uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	inode, errno := n.add(ctx, name, false, out)
	return inode, nil, 0, errno
}

func (n *node) Mkdir(ctx context.Context, name string, _ uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return n.add(ctx, name, true, out)
}

func (n *node) add(ctx context.Context, name string, folder bool, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	defer n.lock()()
	child := n.d.newNode(folder)
	if errno := n.change(func() { n.enter(entry{to: name, node: child}) }); errno != 0 {
		return nil, errno
	}
	return n.inode(ctx, child, out), 0
}

func (n *node) Unlink(_ context.Context, name string) syscall.Errno {
	defer n.lock()()
	return n.change(func() { n.enter(entry{from: name, node: n.kids[name]}) })
}

func (n *node) Rmdir(ctx context.Context, name string) syscall.Errno {
	unlock := n.lock()
	full := len(n.kids[name].kids) > 0
	unlock()
	if full {
		return syscall.ENOTEMPTY
	}
	return n.Unlink(ctx, name)
}

func (n *node) Rename(_ context.Context, name string, to fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	defer n.lock()()
	other, ok := to.(*node)
	if !ok || flags != 0 {
		return syscall.EINVAL
	}
	return n.change(func() {
		child := n.kids[name]
		if other == n {
			n.enter(entry{name, newName, child})
			return
		}
		other.enter(entry{to: newName, node: child})
		n.enter(entry{from: name, node: child})
	})
}

func (n *node) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	defer n.lock()()
	var list []fuse.DirEntry
	for _, name := range slices.Sorted(maps.Keys(n.kids)) {
		list = append(list, fuse.DirEntry{Name: name, Ino: n.kids[name].ino, Mode: n.kids[name].mode()})
	}
	return fs.NewListDirStream(list), 0
}

// top has the disk, and a file through which it is told what to do.
type top struct {
	fs.Inode
	d *disk
}

func (t *top) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	t.d.mu.Lock()
	defer t.d.mu.Unlock()
	switch name {
	case "disk":
		t.d.root.attr(&out.Attr)
		return t.NewInode(ctx, t.d.root, fs.StableAttr{Mode: syscall.S_IFDIR, Ino: t.d.root.ino}), 0
	case "power":
		out.Mode = syscall.S_IFREG | 0o600
		return t.NewInode(ctx, &power{d: t.d}, fs.StableAttr{Mode: syscall.S_IFREG, Ino: 2}), 0
	}
	return nil, syscall.ENOENT
}

// power is that file; main's comment says what it takes and gives.
type power struct {
	fs.Inode
	d *disk
}

func (p *power) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}

func (p *power) Setattr(context.Context, fs.FileHandle, *fuse.SetAttrIn, *fuse.AttrOut) syscall.Errno {
	return 0
}

func (p *power) Write(_ context.Context, _ fs.FileHandle, data []byte, _ int64) (uint32, syscall.Errno) {
	p.d.mu.Lock()
	defer p.d.mu.Unlock()
	var left int
	var seed uint64
	if n, _ := fmt.Sscanf(string(data), "cut %d %d", &left, &seed); n == 2 {
		if p.d.armed, p.d.left, p.d.seed = left > 0, left-1, seed; left == 0 && p.d.later == nil {
			p.d.cut()
		}
	} else if string(data) == "on" {
		p.d.back()
	} else {
		return 0, syscall.EINVAL
	}
	return uint32(len(data)), 0
}

func (p *power) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	p.d.mu.Lock()
	defer p.d.mu.Unlock()
	text := fmt.Sprintf("on %d\n", p.d.cuts)
	if p.d.later != nil {
		text = fmt.Sprintf("off %d %d\n", p.d.cuts, p.d.lost)
	}
	return fuse.ReadResultData([]byte(text)[min(int(off), len(text)):]), 0
}
