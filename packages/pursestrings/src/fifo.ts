/** A list that grows at its end and is forgotten from its beginning, each in constant time. */
export class Fifo<T> {
  #items: T[] = [];
  #head = 0;
  #forgotten = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  /** The place of the first item still here, counted from the first item ever. */
  get firstPlace(): number {
    return this.#forgotten;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  first(): T | undefined {
    return this.#items[this.#head];
  }

  /** The item at a place counted from the first item ever. */
  at(place: number): T | undefined {
    return place < this.#forgotten ? undefined : this.#items[place - this.#forgotten + this.#head];
  }

  shift(): T | undefined {
    const item = this.#items[this.#head];
    if (this.length === 0) return undefined;
    this.#head += 1;
    this.#forgotten += 1;
    if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  toArray(): T[] {
    return this.#items.slice(this.#head);
  }
}
