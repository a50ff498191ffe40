package main

import (
	"math/rand/v2"
	"slices"
)

// A plan is a room in an order of its files.
type plan struct {
	order   []string
	upward  []arrow // against the order
	circles int     // arrows on circles, whatever the order
	floors  int
}

// planOf counts what report prints of a room in this order.
func planOf(r *room, order []string) plan {
	p := plan{order: order, upward: upward(r, order)}
	way := ways(r)
	for a := range r.arrows {
		if way[arrow{a.to, a.from}] {
			p.circles++
		}
	}
	depth := map[string]int{}
	for _, from := range slices.Backward(order) {
		for to, below := range depth {
			depth[from] = max(depth[from], count(r, from, to)*below)
		}
		depth[from]++
		p.floors = max(p.floors, depth[from])
	}
	return p
}

// upward are the arrows against an order, the uppermost file's first.
func upward(r *room, order []string) []arrow {
	var against []arrow
	for i, to := range order {
		for _, from := range order[i+1:] {
			if count(r, from, to) > 0 {
				against = append(against, arrow{from, to})
			}
		}
	}
	return against
}

// ways tells of each two files whether a way along the arrows leads from the one to the other.
func ways(r *room) map[arrow]bool {
	way := map[arrow]bool{}
	for a := range r.arrows {
		way[a] = true
	}
	for _, over := range r.files {
		for _, from := range r.files {
			for _, to := range r.files {
				if way[arrow{from, over}] && way[arrow{over, to}] {
					way[arrow{from, to}] = true
				}
			}
		}
	}
	return way
}

// fewestUpward is the order with the fewest upward arrows that was found from 50 orders to begin with.
func fewestUpward(r *room) []string {
	random := rand.New(rand.NewPCG(1, 1))
	order := slices.Clone(r.files)
	var best []string
	fewest := 0
	for range 50 {
		for moved := true; moved; {
			moved = false
			for _, file := range r.files {
				moved = improve(r, order, file) || moved
			}
		}
		if n := len(upward(r, order)); best == nil || n < fewest {
			best, fewest = slices.Clone(order), n
		}
		random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	}
	return best
}

// improve moves a file to the place in the order where the fewest arrows from
// and to it run upward, if there is a better one than its own.
func improve(r *room, order []string, file string) bool {
	now := slices.Index(order, file)
	best, least := now, 0
	change := 0
	for i := now - 1; i >= 0; i-- { // past those above it
		change += count(r, order[i], file) - count(r, file, order[i])
		if change < least {
			best, least = i, change
		}
	}
	change = 0
	for i := now + 1; i < len(order); i++ { // past those below it
		change += count(r, file, order[i]) - count(r, order[i], file)
		if change < least {
			best, least = i, change
		}
	}
	if best == now {
		return false
	}
	copy(order[min(now, best):], slices.Insert(slices.Delete(slices.Clone(order), now, now+1), best, file)[min(now, best):])
	return true
}

// count is 1 if there is an arrow from the one to the other, else 0.
func count(r *room, from, to string) int {
	if r.arrows[arrow{from, to}] != nil {
		return 1
	}
	return 0
}
